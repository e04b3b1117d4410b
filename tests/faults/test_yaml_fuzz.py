"""Configurations that are wrong in every way chance finds: what reading them must not do."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.load import load_config

SLOWEST = 5.0  # seconds of CPU a document may take; an honest one takes a hundredth
FAULT = re.compile(r"cameras\.yaml:(\d+): \S")

SEED_DOCUMENT = """\
cameras:
  - name: gate
    url: rtsp://viewer:${GATE_PASSWORD}@10.0.0.5/stream1
    translate: never
    outputs: [out/gate/%Y%m%d-%H%M%S.mp4, "rtsp://127.0.0.1:8554/gate-day"]
    background: {save: out/gate.png, frames: 25, every_s: 2.5}
  - name: yard
    url: device:0
    translate: never
    detect: false
    pace: realtime
    loop: no
defaults: &d {segment_seconds: 60, max_age: 1.0}
engine: {backend: auto, precision: auto, max_batch: 8}
"""
WORDS = """\
: , - { } [ ] & * ! | > ' " % @ ` # ? \\ / ~ \t \0 \ufeff \u2028 \x85 \ud7ff 🌙
null true no .inf .nan -0 1e400 0x1f 0o7 1_000 2026-11-23 12:30:45 9999999999999999999999 <<: *d &d
!!python/object/apply:os.system !!binary !!set !!timestamp --- ... %YAML name: url: cameras: ${ ${} ${A-b} {name}
rtsp://u:p@ss/w@h/s rtsp://[::1 rtsp://h:99999/ file:/etc/shadow""".replace("\n", " ").split(" ")
WORDS += ["\n", "\n\n", "  ", "\n- ", "? [a]: b"]


def document(rng: random.Random) -> bytes:
    """One document: the good one cut, shuffled and sown with odd words, or something else altogether."""
    kind = rng.random()
    if kind < 0.05:
        return rng.randbytes(rng.randint(0, 400))
    if kind < 0.1:
        depth = rng.randint(1, 3000)
        return ("cameras: " + rng.choice(("[", "{a: ", "- ")) * depth).encode()
    if kind < 0.13:  # each alias ten times the one before
        levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, rng.randint(2, 12))]
        return "\n".join(["a0: &a0 [x]", *levels, f"cameras: *a{len(levels)}"]).encode()
    text = SEED_DOCUMENT
    for _ in range(rng.randint(1, 8)):
        at, to = sorted(rng.randint(0, len(text)) for _ in range(2))
        to = min(to, at + rng.choice((1, 3, 20, 200)))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[to:]
            case 1:
                text = text[:at] + rng.choice(WORDS) + text[at:]
            case 2:
                text = text[:at] + rng.choice(WORDS) * rng.randint(1, 50) + text[to:]
            case 3:
                text = text[:at] + text[at:to] * 2 + text[to:]
            case 4:
                lines = text.splitlines(keepends=True) or [""]
                rng.shuffle(lines)
                text = "".join(lines) if rng.random() < 0.2 else text
    return text.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")), "replace")


def fuzz(folder: Path, *, documents: int, seed: int) -> Counter[str]:
    """Read ``documents`` of them from ``folder``; how many were good and how many had faults.

    Raises AssertionError with the document for anything but a configuration or faults that each name their line.
    """
    rng = random.Random(seed)
    path = folder / "cameras.yaml"
    outcomes: Counter[str] = Counter()
    for number in range(documents):
        data = document(rng)
        path.write_bytes(data)
        about = f"seed {seed}, document {number}: {data[:2000]!r}"
        began = time.thread_time()
        try:
            load_config(path, environment={"GATE_PASSWORD": "Zk9q7Wx2"})
            outcomes["good"] += 1
        except ConfigError as error:
            outcomes["refused"] += 1
            text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
            lines = len(text.splitlines()) + 1  # YAML breaks lines at U+2028 and the like, and so does Python
            for fault in error.faults:
                place = FAULT.match(fault.removeprefix(f"{folder}/"))
                assert place, f"no line in {fault!r}; {about}"
                assert 1 <= int(place[1]) <= lines, f"{fault!r} is past the end; {about}"
                assert "\n" not in fault, f"{fault!r} is more than a line; {about}"
                assert "Zk9q7Wx2" not in fault, f"{fault!r} tells the password; {about}"
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}; {about}") from error
        took = time.thread_time() - began
        assert took < SLOWEST, f"{took:.1f} s; {about}"
    return outcomes


def test_whatever_the_file_holds_it_is_read_or_refused_with_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    outcomes = fuzz(tmp_path, documents=300, seed=seed)
    assert outcomes["refused"] > 150
