#!/usr/bin/env bash
# c2pa-python and the index of a fragmented MP4.
#
# Signing puts a manifest before the film, so every fragment moves by its length. The library knows of the index at the
# file's end (mfra/tfra, ISO 14496-12, 8.8.10) and rewrites it, but to one and the same fragment for all entries: whoever
# seeks by the index comes to the end of the film. The signature does not cover the index (the claim's exclusions name
# /mfra), so it can be written anew afterwards. Seen with c2pa-python 0.38.1 (c2pa-rs 0.91.3).
#
# Wants Debian's ffmpeg and python3-venv. Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv venv
venv/bin/pip install -q c2pa-python==0.38.1 cryptography==49.0.0
ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=320x240:rate=10:duration=10 -c:v libx264 -preset veryfast -bf 0 -g 20 \
    -pix_fmt yuv420p -movflags empty_moov+default_base_moof+frag_keyframe whole.mp4

venv/bin/python - <<'PYTHON'
import datetime, json, struct, sys
import c2pa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

key, issuer_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
now = datetime.datetime.now(datetime.timezone.utc)


def certificate(name, public, *, issues):
    names = [x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, one)]) for one in ("issuer", name)]
    usage = x509.KeyUsage(not issues, False, False, False, False, issues, issues, False, False)
    built = (
        x509.CertificateBuilder(names[0], names[1], public, 1 + issues, now - datetime.timedelta(1), now + datetime.timedelta(9))
        .add_extension(x509.BasicConstraints(issues, None), True)
        .add_extension(usage, True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    )
    if not issues:
        built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    return built.sign(issuer_key, None).public_bytes(Encoding.PEM).decode()


chain = certificate("camera", key.public_key(), issues=False) + certificate("issuer", issuer_key.public_key(), issues=True)
signer = c2pa.Signer.from_callback(key.sign, c2pa.C2paSigningAlg.ED25519, chain)
made = {"action": "c2pa.created", "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"}
assertion = {"label": "c2pa.actions.v2", "data": {"actions": [made]}}
c2pa.Builder(json.dumps({"assertions": [assertion]})).sign_file("whole.mp4", "signed.mp4", signer)


def index(path):
    data = open(path, "rb").read()
    box = data.rindex(b"tfra")
    version, count = data[box + 4], struct.unpack_from(">I", data, box + 16)[0]
    number, step = (">Q", 8) if version else (">I", 4)
    each = (len(data) - 16 - (box + 20)) // count
    found = [struct.unpack_from(number, data, box + 20 + n * each + step)[0] for n in range(count)]
    assert all(data[at + 4 : at + 8] == b"moof" for at in found)
    return found


said = json.loads(c2pa.Reader("signed.mp4").json())
(manifest,) = said["manifests"].values()
(covered,) = (one["data"] for one in manifest["assertions"] if one["label"].startswith("c2pa.hash.bmff"))
failures = [one["code"] for one in said["validation_results"]["activeManifest"]["failure"]]
before, after = index("whole.mp4"), index("signed.mp4")
print(c2pa.sdk_version(), "failures:", failures)
print("index before:", before)
print("index after: ", after)
print("not covered by the signature:", [one["xpath"] for one in covered["exclusions"]])
seen = len(set(before)) == len(before) > 1 and len(set(after)) == 1 and len(after) == len(before)
seen = seen and "/mfra" in [one["xpath"] for one in covered["exclusions"]] and failures == ["signingCredential.untrusted"]
sys.exit(0 if seen else "c2pa does something else now")
PYTHON
