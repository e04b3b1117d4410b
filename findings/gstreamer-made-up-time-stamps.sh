#!/usr/bin/env bash
# GStreamer's video decoders and a picture without a time stamp before others that have one.
#
# FFmpeg's RTSP client gives the first packets of a camera without a time stamp now and then. A decoder does not leave it
# away: it gives 0 to the first picture, whatever the next ones have. So a camera whose time stamps begin at 1000 s seems to
# jump by 1000 s at its second picture.
#
# Wants Debian's ffmpeg, python3-gi, gir1.2-gst-plugins-base-1.0, gstreamer1.0-plugins-bad and gstreamer1.0-libav.
# Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

for number in 0 1 2; do  # three key frames, each with its parameter sets
    ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=320x240:rate=25 -frames:v 1 -c:v libx264 -pix_fmt yuv420p "$number.h264"
done
seen=$(/usr/bin/python3 - <<'PYTHON'
import pathlib
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp
Gst.init(None)
pipeline = Gst.parse_launch(
    "appsrc name=in format=time caps=video/x-h264,stream-format=byte-stream,alignment=au"
    " ! h264parse ! avdec_h264 ! appsink name=out sync=false"
)
pipeline.set_state(Gst.State.PLAYING)
source, sink = pipeline.get_by_name("in"), pipeline.get_by_name("out")
for number in range(3):
    buffer = Gst.Buffer.new_wrapped(pathlib.Path(f"{number}.h264").read_bytes())
    stamp = Gst.CLOCK_TIME_NONE if number == 0 else 1000 * Gst.SECOND + number * 40 * Gst.MSECOND
    buffer.pts = buffer.dts = stamp
    source.push_buffer(buffer)
source.end_of_stream()
stamps = []
while (sample := sink.try_pull_sample(5 * Gst.SECOND)) is not None:
    pts = sample.get_buffer().pts
    stamps.append("none" if pts == Gst.CLOCK_TIME_NONE else f"{pts / Gst.SECOND:.2f}")
pipeline.set_state(Gst.State.NULL)
print(*stamps)
PYTHON
)
echo "packets: none, 1000.04, 1000.08; pictures: $seen"
[ "$seen" = "0.00 1000.04 1000.08" ] || { echo "the decoder does something else now"; exit 1; }
