"""Recordings bear Content Credentials that C2PA's own reader believes, and play as before."""

from __future__ import annotations

import json
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nightday.pipeline.core.events import Notice
from nightday.pipeline.outputs.mp4.provenance.content_credentials import (
    ASSERTION,
    CERTIFICATES,
    ContentCredentials,
)
from nightday.pipeline.outputs.mp4.provenance.facts import Facts
from nightday.pipeline.outputs.mp4.provenance.keys import own_key
from nightday.pipeline.outputs.mp4.provenance.ledger import Ledger
from nightday.pipeline.outputs.mp4.provenance.records import read, record_path
from nightday.pipeline.outputs.mp4.provenance.verify import verify
from nightday.pipeline.outputs.registry import open_output
from tests.pipeline.outputs.encoding.test_mark import made
from tests.support.media_helpers import OutputEvents, WatchedStats, ffmpeg_complaints
from tests.support.rtsp_server import WAIT


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "signing-key.pem"


def recorded(folder: Path, key_file: Path, *, generated: bool = True, credentials: bool = True) -> Path:
    """A finished recording of 100 pictures."""
    output = open_output(
        str(folder / "%H%M%S.mp4"),
        camera="gate",
        stats=WatchedStats(),
        publish=OutputEvents(),
        segment_seconds=600,
        signing_key=key_file,
        content_credentials=credentials,
    )
    for number in range(100):
        assert output.put_wait(made(number, generated=generated), cancelled=threading.Event())
    assert output.close(WAIT)
    (path,) = folder.glob("*.mp4")
    return path


def told(path: Path, *, trusted: bytes | None = None) -> dict[str, Any]:
    """What C2PA's reader says of a file."""
    settings: dict[str, Any] = {"verify": {"verify_trust": True}}
    if trusted is not None:
        settings["trust"] = {"user_anchors": trusted.decode()}
    with c2pa.Context.from_dict(settings) as context, c2pa.Reader(str(path), context=context) as reader:
        said: dict[str, Any] = json.loads(reader.json())
    return said


def codes(said: dict[str, Any], kind: str) -> set[str]:
    return {one["code"] for one in said["validation_results"]["activeManifest"][kind]}


def packets(path: Path) -> list[str]:
    """Hashes and times of all packets."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-c", "copy", "-f", "framehash", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if not line.startswith("#")]


def fragments(path: Path) -> tuple[list[int], list[int]]:
    """Where the fragments of a file begin, and where its index says that they do."""
    data = path.read_bytes()
    at, begin = 0, []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"moof":
            begin.append(at)
        at += size
    box = data.rindex(b"tfra")
    assert data[box + 4] == 1  # 64-bit numbers
    (count,) = struct.unpack_from(">I", data, box + 16)
    step = (len(data) - 16 - (box + 20)) // count  # mfro comes last
    return begin, [struct.unpack_from(">Q", data, box + 28 + entry * step)[0] for entry in range(count)]


@pytest.mark.parametrize("generated", [True, False])
def test_a_recording_says_what_it_is(tmp_path: Path, key_file: Path, generated: bool) -> None:
    path = recorded(tmp_path / "out", key_file, generated=generated)
    said = told(path)
    assert codes(said, "failure") == {"signingCredential.untrusted"}
    assert {"claimSignature.validated", "assertion.bmffHash.match"} <= codes(said, "success")
    manifest = said["manifests"][said["active_manifest"]]
    assert manifest["claim_generator_info"][0]["name"] == "nightday-stream"
    by_label = {one["label"]: one["data"] for one in manifest["assertions"]}
    (created,) = by_label["c2pa.actions.v2"]["actions"]
    source = created["digitalSourceType"].rpartition("/")[2]
    assert (created["action"], source) == (
        "c2pa.created",
        "compositeWithTrainedAlgorithmicMedia" if generated else "digitalCapture",
    )
    record = read(record_path(path).read_bytes())
    assert record is not None
    facts = by_label[ASSERTION]
    assert facts == {name: record[name] for name in facts}
    assert (facts["camera"], facts["generated"]) == ("gate", 100 if generated else 0)
    assert verify(tmp_path / "out").faults == []
    assert not list(path.parent.glob(".*"))


def test_who_trusts_the_issuer_believes_it(tmp_path: Path, key_file: Path) -> None:
    path = recorded(tmp_path / "out", key_file)
    own, issuer = x509.load_pem_x509_certificates(key_file.with_name(CERTIFICATES).read_bytes())
    own.verify_directly_issued_by(issuer)
    said = told(path, trusted=issuer.public_bytes(Encoding.PEM))
    assert codes(said, "failure") == set()
    assert "signingCredential.trusted" in codes(said, "success")


def test_it_plays_as_before_and_its_index_leads_to_its_fragments(tmp_path: Path, key_file: Path) -> None:
    plain = recorded(tmp_path / "plain", key_file, credentials=False)
    path = recorded(tmp_path / "out", key_file)
    assert packets(path) == packets(plain)
    assert ffmpeg_complaints(path) == ""
    begin, indexed = fragments(path)
    assert len(indexed) > 1
    assert [begin.index(at) for at in indexed] == [
        fragments(plain)[0].index(at) for at in fragments(plain)[1]
    ]


def test_a_changed_picture_is_found(tmp_path: Path, key_file: Path, rng: np.random.Generator) -> None:
    path = recorded(tmp_path / "out", key_file)
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4 + int(rng.integers(1000))
    data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    assert "assertion.bmffHash.mismatch" in codes(told(path), "failure")


def test_the_manifest_is_not_doubled_when_it_is_signed_again(tmp_path: Path, key_file: Path) -> None:
    path = recorded(tmp_path / "out", key_file)
    size = path.stat().st_size
    record = read(record_path(path).read_bytes())
    assert record is not None
    one = ContentCredentials(own_key(key_file), key_file.with_name(CERTIFICATES))
    one.embed(path, {name: record[name] for name in ("program", "begins", "generated")} | {"camera": "yard"})
    assert abs(path.stat().st_size - size) < 1000
    manifests = told(path)["manifests"]
    assert len(manifests) == 1
    assert "yard" in json.dumps(manifests)
    begin, indexed = fragments(path)
    assert set(indexed) <= set(begin)


def test_another_key_gets_other_certificates(tmp_path: Path, key_file: Path) -> None:
    certificates = key_file.with_name(CERTIFICATES)
    ContentCredentials(own_key(key_file), certificates)
    first = certificates.read_bytes()
    ContentCredentials(own_key(key_file), certificates)
    assert certificates.read_bytes() == first
    key_file.unlink()
    ContentCredentials(own_key(key_file), certificates)
    assert certificates.read_bytes() != first
    path = recorded(tmp_path / "out", key_file)
    assert "claimSignature.validated" in codes(told(path), "success")


def test_what_is_no_mp4_is_told_and_left_as_it_is(tmp_path: Path, key_file: Path) -> None:
    events: list[object] = []
    folder = tmp_path / "out"
    ledger = Ledger(
        template=folder / "%H.mp4",
        camera="gate",
        view="day",
        key=key_file,
        publish=events.append,
        content_credentials=True,
    )
    folder.mkdir()
    (folder / "00.mp4").write_bytes(b"no film")
    ledger.sign(folder / "00.mp4", Facts())
    assert not ledger.finish(WAIT)
    (notice,) = events
    assert isinstance(notice, Notice)
    assert notice.name == "signing_failed"
    assert (folder / "00.mp4").read_bytes() == b"no film"
    assert [path.name for path in folder.iterdir() if not path.name.startswith("provenance")] == ["00.mp4"]
