"""Players and servers as processes: ffmpeg, which records what it decodes, GStreamer, a relay, and a web server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.clip import WHITE, Clip
from benchmarks.peers.heard import distances, of_file, told
from tests.support.colour_patches import COLUMNS, ROWS
from tests.support.serving import serving

HERE = Path(__file__).parent
# Seconds for which a player may go on after its time.
LATE = 60.0
# What ffmpeg 5.1.9 says of its own streams as well, of RTSP and of live HLS in fragmented MP4; and what its outputs
# here say, since all time stamps are looked at.
_OF_ANY_STREAM = (
    "Timestamps are unset in a packet",
    "previous: 0, current: 0",
    "Found duplicated MOOV Atom",
    "Last message repeated",
    "Estimating duration from bitrate",
    "[null @",
)


class Ffmpeg:
    """Plays an address for so long: decodes what comes, and records it as it came.

    Args:
        url: the address, or where to listen.
        path: the recording, a NUT file, which keeps time stamps as they are; what ffmpeg says goes beside it.
        seconds: for how long.
        options: of the input.
    """

    def __init__(self, url: str, path: Path, *, seconds: float, options: Sequence[str] = ()) -> None:
        self._path = path
        self._said = path.with_suffix(".log")
        length = ("-t", str(seconds))
        command = ["ffmpeg", "-nostdin", "-v", "warning", "-y", *options, "-i", url]
        # Decoded pictures go nowhere at their own times; by default ffmpeg would make a steady rate of them.
        nowhere = ("-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-")
        command += [*length, "-c", "copy", str(path), *length, *nowhere]
        with self._said.open("w") as said:
            self._process = subprocess.Popen(command, stderr=said)

    def found(self, clip: Clip, *, sound: bool, within: float) -> dict[str, Any]:
        """What it made of the clip, once it has ended."""
        said = [line for line in self._end(within) if not any(word in line for word in _OF_ANY_STREAM)]
        return of_file(self._path, clip, sound=sound, complaints=said)

    def _end(self, within: float) -> list[str]:
        try:
            status = self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        said = self._said.read_text().splitlines()
        return [*said, f"ended with status {status}"] if status else said


class GStreamer:
    """Plays an address for so long, at its pace, and looks and listens."""

    def __init__(self, url: str, *, seconds: float, sound: bool) -> None:
        command = [
            "/usr/bin/python3",
            str(HERE / "gst_player.py"),
            url,
            str(seconds),
            "yes" if sound else "no",
        ]
        command += [str(COLUMNS), str(ROWS), str(WHITE)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def found(self, clip: Clip, *, sound: bool, within: float) -> dict[str, Any]:
        """What it made of the clip, once it has ended."""
        try:
            out, said = self._process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, said = self._process.communicate()
        if not out:
            return {"complaints": said.splitlines()[-5:], "wrong": ["it told nothing"]}
        seen = json.loads(out)
        shape = clip.levels.shape
        lowest, highest = (
            np.array(seen[name] or clip.levels.ravel()).reshape(shape) for name in ("lowest", "highest")
        )
        return told(
            seen["stamps"],
            colours=float(max((clip.levels - lowest).max(), (highest - clip.levels).max())),
            apart=distances(seen["flashes"], seen["beeps"]) if sound else None,
            complaints=seen["said"],
        )


@contextmanager
def relay(*names: str) -> Iterator[str]:
    """An RTSP server that plays at ``/NAME-view`` what is recorded at ``/NAME``; its address."""
    command = ["/usr/bin/python3", str(HERE / "gst_relay.py"), *names]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"rtsp://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server for a folder; its address."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with serving(partial(Handler, directory=str(folder))) as address:
        yield address
