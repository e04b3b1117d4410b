"""Content Credentials of recordings: a manifest of C2PA 2 within the MP4 file, which other programs can read, too.

https://spec.c2pa.org. The manifest is signed with this machine's key. Its certificates are made at first use; nobody
vouches for them, so readers call the signer untrusted until they are told to trust the second of the certificates.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import c2pa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nightday.engines.distribution import DISTRIBUTION

from ....core.atomic_file import write_atomically
from .records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

CERTIFICATES = "signing-certificates.pem"
"""Beside the key: its certificate, and that of who issued it."""
ASSERTION = "org.nightday-stream.recording"
"""The assertion that holds what the signed record says, too."""

# Extended key usage "C2PA claim signing".
_CLAIM_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
_LASTS = datetime.timedelta(days=20 * 365)
# How a recording came about, in IPTC's terms.
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_GENERATED = f"{_SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
_CAPTURED = f"{_SOURCE_TYPES}digitalCapture"


class ContentCredentials:
    """Puts a manifest into recordings.

    Args:
        key: this machine's.
        certificates: the file of its certificates in PEM, its own first; made anew where there are none of this key.

    Raises:
        OSError: they cannot be read or written.
        ValueError: the file holds something else.
    """

    def __init__(self, key: Ed25519PrivateKey, certificates: Path) -> None:
        self._key = key
        self._certificates = _own_certificates(key, certificates)

    def embed(self, recording: Path, said: Record) -> None:
        """Put a manifest that says ``said`` into a finished MP4 file; what stood there before is replaced by it.

        Raises:
            FileNotFoundError: the recording is gone.
            OSError: it cannot be replaced.
            c2pa.C2paError: it cannot be signed, for instance because it is no MP4 file.
        """
        before = recording.stat()
        temporary = recording.with_name(f".{recording.name}.part")
        certificates = self._certificates.decode()
        signing = c2pa.Signer.from_callback(self._key.sign, c2pa.C2paSigningAlg.ED25519, certificates)
        try:
            with (
                signing as signer,
                c2pa.Builder(json.dumps(_manifest(recording, said))) as builder,
                recording.open("rb") as source,
                temporary.open("w+b") as target,
            ):
                builder.sign(signer, "video/mp4", source, target)
                _restore_index(source, target)
                target.flush()
                os.fsync(target.fileno())
            temporary.chmod(before.st_mode)
            os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
            if not recording.exists():  # retention was faster
                raise FileNotFoundError(recording)
            temporary.replace(recording)
        finally:
            temporary.unlink(missing_ok=True)


def _manifest(recording: Path, said: Record) -> dict[str, object]:
    generated = said.get("generated", 0) > 0
    created = {
        "action": "c2pa.created",
        "when": said["begins"],
        "softwareAgent": {"name": DISTRIBUTION, "version": said["program"]},
        "digitalSourceType": _GENERATED if generated else _CAPTURED,
    }
    if generated:
        created["description"] = "A model made these day pictures of what a camera saw by night."
    return {
        "claim_generator_info": [{"name": DISTRIBUTION, "version": said["program"]}],
        "title": recording.name,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": ASSERTION, "data": said},
        ],
    }


def _own_certificates(key: Ed25519PrivateKey, path: Path) -> bytes:
    """The certificates in ``path``, which are made if there are none of ``key``."""
    with contextlib.suppress(FileNotFoundError):
        known = path.read_bytes()
        if x509.load_pem_x509_certificates(known)[0].public_key() == key.public_key():
            return known
    made = _certificates(key)
    write_atomically(path, [made], durable=True, mode=0o644)
    return made


def _certificates(key: Ed25519PrivateKey) -> bytes:
    """A certificate of ``key``, and of an issuer whose own key nobody has afterwards, so that it issues no other."""
    issuer_key = Ed25519PrivateKey.generate()
    issuer, subject = _name(f"{DISTRIBUTION} issuer"), _name(f"{DISTRIBUTION} recorder")
    begins = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    issuer_id = x509.SubjectKeyIdentifier.from_public_key(issuer_key.public_key())

    def of(name: x509.Name, owner: Ed25519PrivateKey, *, signs_others: bool) -> x509.CertificateBuilder:
        usage = x509.KeyUsage(
            digital_signature=not signs_others,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=signs_others,
            crl_sign=signs_others,
            encipher_only=False,
            decipher_only=False,
        )
        public = owner.public_key()
        return (
            x509.CertificateBuilder(
                issuer, name, public, x509.random_serial_number(), begins, begins + _LASTS
            )
            .add_extension(x509.BasicConstraints(ca=signs_others, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    uses = x509.ExtendedKeyUsage([_CLAIM_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION])
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id)
    own = of(subject, key, signs_others=False).add_extension(uses, critical=False)
    own = own.add_extension(authority, critical=False)
    signed = (own.sign(issuer_key, None), of(issuer, issuer_key, signs_others=True).sign(issuer_key, None))
    return b"".join(one.public_bytes(Encoding.PEM) for one in signed)


def _name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "self-signed"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )


def _restore_index(before: BinaryIO, after: BinaryIO) -> None:
    """Have the index of fragments at the end of ``after`` lead to where they have moved.

    c2pa (0.38.1) lets all of its entries lead to one fragment, and players that seek by it, such as GStreamer, would
    go there. The manifest's signature does not cover the index (box mfra of ISO 14496-12).
    """
    index = _index_of(before)
    if index is None:
        return
    moved = after.seek(0, os.SEEK_END) - before.seek(0, os.SEEK_END)
    for at, width in _offsets(index):
        (offset,) = struct.unpack_from(width, index, at)
        struct.pack_into(width, index, at, offset + moved)
    after.seek(-len(index), os.SEEK_END)
    after.write(index)


def _index_of(file: BinaryIO) -> bytearray | None:
    """The box mfra at the end of a file, whose last four bytes say how long it is; None where there is none."""
    size = file.seek(0, os.SEEK_END)
    if size < 16:
        return None
    file.seek(-16, os.SEEK_END)
    kind, length = struct.unpack(">4x4s4xI", file.read(16))
    if kind != b"mfro" or not 24 <= length <= size:
        return None
    file.seek(-length, os.SEEK_END)
    index = bytearray(file.read(length))
    return index if index[4:8] == b"mfra" else None


def _offsets(index: bytearray) -> Iterator[tuple[int, str]]:
    """Where the boxes tfra in ``index`` hold offsets into the file, and how ``struct`` reads one."""
    at = 8
    while at + 24 <= len(index):
        length, kind = struct.unpack_from(">I4s", index, at)
        if kind == b"tfra":
            version = index[at + 8]
            widths, entries = struct.unpack_from(">II", index, at + 16)
            numbers = sum((widths >> shift & 3) + 1 for shift in (0, 2, 4))
            number, step = (">Q", 8) if version else (">I", 4)
            for entry in range(entries):
                yield at + 24 + entry * (2 * step + numbers) + step, number
        at += max(length, 8)
