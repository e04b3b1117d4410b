#!/usr/bin/env bash
# PyAV 13.1.0: packets that come out of a bit stream filter have no time base. Whoever muxes them, has their times taken for
# those of the output's stream.
#
# So Home Assistant 2025.4.4, which pins this version, plays the AAC of an MPEG-TS stream (which goes through
# `aac_adtstoasc`) at 90000 / 48000 of its times, and drops what is then out of order. In PyAV 18.1.0 packets have it.
#
# Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

ffmpeg -v error -f lavfi -i sine=duration=2:sample_rate=48000 -c:a aac -f mpegts sound.ts
for version in 13.1.0 18.1.0; do
  python3 -m venv "venv-$version"
  "venv-$version/bin/pip" install -q "av==$version"
  "venv-$version/bin/python" - <<'PYTHON' | tee -a found
import av

with av.open("sound.ts") as container:
    (stream,) = container.streams.audio
    packet = next(one for one in container.demux(stream) if one.size)
    before = packet.time_base
    (after,) = av.BitStreamFilterContext("aac_adtstoasc", stream).filter(packet)
    print(f"PyAV {av.__version__}: time base {before} before, {after.time_base} after")
PYTHON
done
grep -q "PyAV 13.1.0: time base 1/90000 before, None after" found
grep -q "PyAV 18.1.0: time base 1/90000 before, 1/90000 after" found
