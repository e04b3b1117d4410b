"""Video files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from ..core.camera_url import CameraUrl
from ..core.faults import FaultReason
from .base import Connection, ConnectionSettings

# A play list under a video's name must not open an address on the network.
OPTIONS = {"protocol_whitelist": "file"}

ADVICE: Mapping[FaultReason, str] = {
    "not_found": "The file is not there: look at the url's path.",
    "end_of_stream": "There is no picture in the file.",
    "decode": "The file cannot be decoded. Is it a video, and is it complete?",
    "unsupported": "Its codec is not known here. Convert it to H.264 or H.265.",
}


def fault(url: CameraUrl) -> str | None:
    """Why the file cannot be read, to be read after its path; None if it can."""
    try:
        if not url.path.is_file():
            return "is a folder, not a file" if url.path.is_dir() else "no such file"
        with url.path.open("rb"):
            return None
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def open_source(url: CameraUrl, settings: ConnectionSettings) -> AbstractContextManager[Connection]:
    """A context manager that opens the file. Raises SourceLostError."""
    from .connection import open_connection

    return open_connection(f"file:{url.path}", options=OPTIONS, live=False, settings=settings)


def picture_size(url: CameraUrl) -> tuple[int, int]:
    """Height and width of the file's pictures, upright. Raises what PyAV raises, and ValueError without a picture."""
    from nightday.engines.video.look import LookReader, size_of
    from nightday.engines.video.streams import best_video

    from ..media.ffmpeg import open_input

    with open_input(f"file:{url.path}", options=OPTIONS, open_timeout=5.0, stall_timeout=5.0) as container:
        stream = best_video(container)
        for video in container.decode(stream):
            LookReader(stream).give(video)
            return size_of(video)
    raise ValueError("there is no picture in it")
