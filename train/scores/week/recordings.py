"""Recordings with ``view: pair``: when they were taken, which of their pictures a model made, and these pictures.

Only key frames are looked at. The mark that nightday-stream writes before each of them (docs/provenance.md) tells
what is to be known, and nothing has to be decoded before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from nightday.engines.video import colour
from nightday.engines.video.streams import NoVideoError, best_video

from ...footage.scene import Image, SceneError

# Stands before the mark in the message of H.264.
MARK_ID = UUID("f107f2b3-cded-4d0c-8b60-5284bc888de2").bytes
# Seconds between two key frames.
KEY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording with ``view: pair``.

    Attributes:
        path: the file.
        began: its first picture's time, Unix seconds.
        seconds: how long it is.
    """

    path: Path
    began: float
    seconds: float


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """A key frame of a recording.

    Attributes:
        seconds: its time in the file.
        generated: whether a model made its day view.
    """

    seconds: float
    generated: bool


def read_recording(path: Path) -> Recording:
    """What a recording says of itself.

    Raises:
        SceneError: it cannot be read, or is no recording with ``view: pair``; one line.
    """
    with _opened(path) as (clip, stream):
        view = _first_mark(clip, stream).get("view")
        if view != "pair":
            what = "bears no mark of nightday-stream" if view is None else f"has view: {view}"
            raise SceneError(f"{path}: {what}; recordings with view: pair are needed")
        try:
            # Python 3.10 does not read the Z.
            told = json.loads(clip.metadata["description"])["wall_time"].replace("Z", "+00:00")
            began = datetime.fromisoformat(told).timestamp()
        except (KeyError, ValueError, TypeError, AttributeError):
            raise SceneError(f"{path}: does not tell when it was taken; give it as it was recorded") from None
        length = clip.duration / av.time_base if clip.duration else 0.0
    return Recording(path, began, max(length, 0.0))


def key_frame(path: Path, seconds: float) -> KeyFrame | None:
    """The last key frame at or before that time in the file; None where there is none or it bears no mark.

    Raises SceneError where the file cannot be read.
    """
    with _opened(path) as (clip, stream):
        _seek(clip, stream, seconds)
        for packet in clip.demux(stream):
            if packet.is_keyframe and packet.pts is not None and packet.time_base is not None:
                mark = mark_in(bytes(packet))
                at = float(packet.pts * packet.time_base)
                return KeyFrame(at, bool(mark.get("generated"))) if mark.get("view") == "pair" else None
    return None


def read_pair(path: Path, seconds: float) -> tuple[Image, Image]:
    """Night and day view of the key frame at that time, uint8 RGB (H, W, 3) each.

    Raises SceneError where it cannot be read.
    """
    with _opened(path) as (clip, stream):
        stream.codec_context.skip_frame = "NONKEY"
        _seek(clip, stream, seconds)
        for frame in clip.decode(stream):
            rgb = colour.to_rgb(frame, VideoReformatter())
            half = rgb.shape[1] // 2
            return np.ascontiguousarray(rgb[:, :half]), np.ascontiguousarray(rgb[:, half : 2 * half])
    raise SceneError(f"{path}: holds no picture at {seconds:.1f} s")


def mark_in(data: bytes) -> dict[str, Any]:
    """What the mark in a packet says, however its units are framed; empty where there is none."""
    for found in re.finditer(re.escape(MARK_ID), data):
        text = data[found.end() :].split(b"\x80", 1)[0]
        try:
            mark = json.loads(text)
        except ValueError:
            continue
        if isinstance(mark, dict):
            return mark
    return {}


def _first_mark(clip: InputContainer, stream: VideoStream) -> dict[str, Any]:
    for packet in clip.demux(stream):
        if packet.is_keyframe:
            return mark_in(bytes(packet))
    return {}


def _seek(clip: InputContainer, stream: VideoStream, seconds: float) -> None:
    assert stream.time_base is not None
    # Half a tick more, so that rounding does not lead to the key frame before.
    clip.seek(int(seconds / stream.time_base + 0.5), stream=stream)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        with av.open(str(path)) as clip:
            yield clip, best_video(clip)
    except (NoVideoError, av.FFmpegError, OSError) as error:
        raise SceneError(
            f"{path}: cannot be read as a recording ({type(error).__name__}); delete it, or copy it again"
        ) from None
