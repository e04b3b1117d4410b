#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1.2): once one of two streams of a container is quiet, `mux_one` writes no packet of the other for
# 10 s, whatever `flush_packets` says: packets are interleaved, and FFmpeg waits for the quiet stream for as long as
# `max_interleave_delta`, by default 10 s. A camera whose sound stops is so 10 s late in a live stream.
# Way out: `max_interleave_delta=1` (microseconds; 0 would wait for ever).
#
# Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv venv
venv/bin/pip install -q av==18.1.0
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av


class Counted:
    size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)


def first_written(**options: str) -> int:
    """The number of the first picture, of 25 a second, with which something is written after sound has stopped."""
    out = Counted()
    container = av.open(out, "w", format="mpegts", container_options={"flush_packets": "1", **options})
    video = container.add_stream("libx264", rate=25, options={"tune": "zerolatency", "preset": "ultrafast"})
    video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
    audio = container.add_stream("aac", rate=48000, layout="mono")
    for number in range(4):
        sound = av.AudioFrame("fltp", "mono", 1024)
        sound.rate, sound.pts, sound.time_base = 48000, 1024 * number, Fraction(1, 48000)
        sound.planes[0].update(bytes(4096))
        for packet in audio.encode(sound):
            container.mux_one(packet)
    before = 0
    for number in range(400):
        picture = av.VideoFrame(64, 48, "yuv420p")
        picture.pts, picture.time_base = number, Fraction(1, 25)
        for packet in video.encode(picture):
            container.mux_one(packet)
        if number == 5:
            before = out.size
        elif number > 5 and out.size > before:
            return number
    return 400


usual, prompt = first_written(), first_written(max_interleave_delta="1")
print(f"PyAV {av.__version__}: after picture 5 the next is written with picture {usual}, with the option {prompt}")
raise SystemExit(0 if usual >= 250 and prompt == 6 else "no longer so")
PYTHON
