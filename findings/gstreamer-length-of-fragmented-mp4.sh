#!/usr/bin/env bash
# GStreamer and the length of a fragmented MP4 whose movie header tells none, as FFmpeg writes them.
#
# Ten seconds, in fragments of one. ffprobe says 10 s. GStreamer (qtdemux) says 9 s, the time of the last fragment in the
# index at the file's end; without that index, as after a SIGKILL, it says 1 or 2 s. Once the movie header tells the length
# (mvhd's duration, which the standard leaves to the part of the film before the fragments), it says 10 s for both.
#
# Wants Debian's ffmpeg, python3-gi and gir1.2-gst-plugins-base-1.0. Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=320x240:rate=10:duration=10 -c:v libx264 -preset veryfast -bf 0 -g 20 \
    -pix_fmt yuv420p -movflags empty_moov+default_base_moof+frag_keyframe -frag_duration 1000000 whole.mp4

/usr/bin/python3 - <<'PYTHON'
import struct

data = open("whole.mp4", "rb").read()
at = 0
while data[at + 4 : at + 8] != b"mfra":
    at += struct.unpack_from(">I", data, at)[0]
open("no-index.mp4", "wb").write(data[:at])
duration = data.index(b"mvhd") + 20  # in milliseconds
for name, rest in (("whole", data), ("no-index", data[:at])):
    told = rest[:duration] + struct.pack(">I", 10_000) + rest[duration + 4 :]
    open(f"{name}-told.mp4", "wb").write(told)
PYTHON

length() {
    /usr/bin/python3 - "$PWD/$1" <<'PYTHON'
import pathlib, sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstPbutils", "1.0")
from gi.repository import Gst, GstPbutils
Gst.init(None)
found = GstPbutils.Discoverer.new(10 * Gst.SECOND).discover_uri(pathlib.Path(sys.argv[1]).as_uri())
print(f"{found.get_duration() / Gst.SECOND:g}")
PYTHON
}

ffmpeg -version | head -n 1
/usr/bin/python3 -c 'import gi; gi.require_version("Gst", "1.0"); from gi.repository import Gst; Gst.init(None); print(Gst.version_string())'
seen=
for file in whole no-index whole-told no-index-told; do
    probed=$(ffprobe -v error -show_entries format=duration -of default=nw=1:nk=1 "$file.mp4")
    discovered=$(length "$file.mp4")
    echo "$file: ffprobe $probed s, GStreamer $discovered s"
    seen+="$discovered "
done
[[ "$seen" =~ ^9\ [12]\ 10\ 10\ $ ]] || { echo "GStreamer says something else now: $seen"; exit 1; }
