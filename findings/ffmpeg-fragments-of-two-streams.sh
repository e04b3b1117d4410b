#!/usr/bin/env bash
# FFmpeg's MP4 muxer with `-movflags frag_every_frame` and two streams: about half of the sound's packets get the time of
# the next packet, and no length. Seen with ffmpeg 5.1.9 and with PyAV 18.1.0 (FFmpeg 8.1.2).
#
# A packet of one stream ends the fragments of both. When the other stream's next packet comes, it has nothing waiting, and
# the muxer counts its time all the same. Way out: `-frag_duration 1` (microseconds) in place of `frag_every_frame`, which
# ends a fragment at each packet, too, but only where one waits.
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


def clip() -> None:
    """Three seconds of pictures at 25 a second, and of silence as AAC, whose packets last 1024 / 48000 s."""
    with av.open("clip.mp4", "w") as out:
        video = out.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream("aac", rate=48000, layout="mono")
        for number in range(75):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        for number in range(140):
            sound = av.AudioFrame("fltp", "mono", 1024)
            sound.rate, sound.pts, sound.time_base = 48000, 1024 * number, Fraction(1, 48000)
            sound.planes[0].update(bytes(4096))
            out.mux(audio.encode(sound))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))


def wrong(**options: str) -> int:
    """How many packets of sound have another time once the clip was copied."""
    with av.open("clip.mp4") as source, av.open("copy.mp4", "w", container_options=options) as out:
        streams = {one.index: out.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    times = []
    for name in ("clip.mp4", "copy.mp4"):
        with av.open(name) as container:
            times.append([packet.pts for packet in container.demux(audio=0) if packet.size])
    first, second = times
    return sum(1 for one, other in zip(first, second) if one - first[0] != other - second[0])


clip()
flags = "empty_moov+default_base_moof"
each, short = wrong(movflags=f"{flags}+frag_every_frame"), wrong(movflags=flags, frag_duration="1")
print(f"packets of sound at a wrong time: {each} with frag_every_frame, {short} with frag_duration=1")
raise SystemExit(0 if each > 20 and short == 0 else "no longer so")
PYTHON
