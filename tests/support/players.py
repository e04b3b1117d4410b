"""How long players think a file is: ffprobe, GStreamer and OpenCV."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2

from tests.support.media_helpers import probed

# Run by the system's Python, which has GStreamer.
_DISCOVER = """
import json, pathlib, sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstPbutils", "1.0")
from gi.repository import Gst, GstPbutils
Gst.init(None)
discoverer = GstPbutils.Discoverer.new(10 * Gst.SECOND)
for line in sys.stdin:
    found = [discoverer.discover_uri(pathlib.Path(path).as_uri()).get_duration() for path in json.loads(line)]
    print(json.dumps([duration / Gst.SECOND for duration in found]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds that each player takes a file for; OpenCV also has a number of pictures."""

    start: float
    ffprobe: float
    gstreamer: float
    opencv: float
    pictures: int

    def furthest_from(self, seconds: float) -> float:
        """Seconds that the player which is furthest off is off ``seconds``, or the file begins late."""
        return max(abs(self.start), *(abs(s - seconds) for s in (self.ffprobe, self.gstreamer, self.opencv)))


def lengths(paths: list[Path]) -> list[Lengths]:
    """What the players say of each file."""
    discoverer = _discoverer()
    assert discoverer.stdin is not None
    assert discoverer.stdout is not None
    print(json.dumps([str(path) for path in paths]), file=discoverer.stdin, flush=True)
    told = json.loads(discoverer.stdout.readline())
    return [_length(path, gstreamer) for path, gstreamer in zip(paths, told, strict=True)]


@cache
def _discoverer() -> subprocess.Popen[str]:
    """One for all files, as it takes long to start. It ends with this process, which holds its input."""
    command = ["/usr/bin/python3", "-c", _DISCOVER]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _length(path: Path, gstreamer: float) -> Lengths:
    told = probed(path)["format"]
    video = cv2.VideoCapture(str(path))
    count, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    video.release()
    return Lengths(
        float(told["start_time"]), float(told["duration"]), gstreamer, count / rate, pictures=round(count)
    )


def joined(paths: list[Path], folder: Path) -> tuple[list[float], float]:
    """When each picture comes and how long it all is, in seconds, once ffmpeg has joined files without encoding."""
    listed, path = folder / "files.txt", folder / "joined" / "joined.mp4"
    path.parent.mkdir(exist_ok=True)
    listed.write_text("".join(f"file '{each}'\n" for each in paths))
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "concat", "-safe", "0", "-i", str(listed)]
    subprocess.run([*command, "-c", "copy", str(path)], check=True, timeout=60)
    told = probed(path)
    return [float(packet["pts_time"]) for packet in told["packets"]], float(told["format"]["duration"])
