"""The mark that programs read in what is encoded: whether a model made the picture, and which.

It is a message of H.264's and H.265's own (user data, unregistered; ITU-T H.264, D.1.7) before each key frame, so it
survives whatever copies the stream without encoding it anew.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from ...analysis.draw import MARK
from ...core.frame import Picture
from ...core.live import View
from .settings import VideoCodec

MARK_ID = uuid.UUID("f107f2b3-cded-4d0c-8b60-5284bc888de2")
"""Stands before the mark in the message, and tells it from those of other programs."""

_SEI: dict[VideoCodec, bytes] = {"h264": b"\0\0\0\1\x06", "hevc": b"\0\0\0\1\x4e\x01"}
_UNREGISTERED = 5
# A start code, three bytes or four, and the first byte of a unit with a picture in it.
_PICTURE: dict[VideoCodec, re.Pattern[bytes]] = {
    "h264": re.compile(rb"\x00?\x00\x00\x01[\x01\x21\x41\x61\x05\x25\x45\x65]"),
    # The pictures at which decoding can begin (ITU-T H.265, 7.4.2.2).
    "hevc": re.compile(rb"\x00?\x00\x00\x01[\x26\x28\x2a]\x01"),
}


def mark_of(picture: Picture, view: View) -> str:
    """What the mark of ``picture`` says, as JSON in ASCII."""
    said: dict[str, Any] = {"program": "nightday-stream", "view": view, "generated": picture.translated}
    if picture.translated:
        said["says"] = MARK
    if picture.made_by is not None:
        made_by = picture.made_by
        said |= {"model": made_by.model, "model_digest": made_by.digest}
        said["engine"] = f"{made_by.backend} {made_by.precision}"
    return json.dumps(said)


def with_mark(data: bytes, mark: str, codec: VideoCodec = "h264") -> bytes:
    """A key frame in Annex B with ``mark`` before its picture."""
    found = _PICTURE[codec].search(data)
    if found is None:
        return data
    message = _SEI[codec] + _message(MARK_ID.bytes + mark.encode("ascii"))
    return data[: found.start()] + message + data[found.start() :]


def _message(payload: bytes) -> bytes:
    whole, rest = divmod(len(payload), 255)
    # ASCII and the identifier hold no zeros, so that nothing in them looks like a start code.
    return bytes((_UNREGISTERED,)) + b"\xff" * whole + bytes((rest,)) + payload + b"\x80"


def marks_in(data: bytes) -> list[dict[str, Any]]:
    """The marks in a packet, however its units are framed."""
    marks = []
    for found in re.finditer(re.escape(MARK_ID.bytes), data):
        text, _ = data[found.end() :].split(b"\x80", 1) if b"\x80" in data[found.end() :] else (b"", b"")
        try:
            mark = json.loads(text)
        except ValueError:
            continue
        if isinstance(mark, dict):
            marks.append(mark)
    return marks
