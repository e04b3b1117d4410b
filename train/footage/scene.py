"""A scene on disk: folders of day and night pictures or clips of one fixed camera, and its background."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.errors import NightdayError
from nightday.engines.video.streams import NoVideoError, rgb_pictures

Image = NDArray[np.uint8]

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
CLIPS = {".mp4", ".mkv", ".mov", ".avi", ".ts", ".webm"}
# Frames of a median, spread over the clip; more change it by less than its rounding.
MEDIAN_FRAMES = 101


class SceneError(NightdayError, ValueError):
    """A scene's folder cannot be used. The message is one line and names the folder or file."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The pictures of one camera, all of one size.

    Attributes:
        name: the folder's name.
        day, night: uint8 RGB (H, W, 3) each, in the order of file names and time.
        background: x_ref, uint8 RGB (H, W, 3).
        held_back: the last of the day, for validation alone.
    """

    name: str
    day: list[Image]
    night: list[Image]
    background: Image
    held_back: list[Image] = field(default_factory=list)


def load_scene(folder: Path, *, max_frames: int = 2000, hold_back: float = 0.0) -> Scene:
    """Read ``folder``/day, ``folder``/night and, if it is there, ``folder``/background.png.

    Args:
        folder: the scene.
        max_frames: the most frames kept of day and of night, spread evenly; they stay in memory.
        hold_back: share of the day, from its end, that becomes ``held_back`` and is part neither of ``day`` nor of
            the median. It is rounded down: a tenth of fewer than 10 frames is none.

    Raises:
        SceneError: a folder is missing or empty, a file cannot be read, sizes differ.
    """
    if not folder.is_dir():
        raise SceneError(f"{folder}: no such folder; a scene has day/ and night/ in it")
    day, night = (_read_folder(folder / part, max_frames) for part in ("day", "night"))
    kept = len(day) - int(hold_back * len(day))
    day, held_back = day[:kept], day[kept:]
    path = folder / "background.png"
    background = _read_picture(path) if path.is_file() else temporal_median(day)
    shape = day[0].shape
    for what, image in (("night", night[0]), ("background.png", background)):
        if image.shape != shape:
            raise SceneError(f"{folder}: day is {_size(day[0])} but {what} is {_size(image)}; give one size")
    return Scene(folder.resolve().name, day, night, background, held_back)


def load_day(path: Path, *, max_frames: int = 2000) -> Scene:
    """Another camera's day: a clip, a folder of clips or pictures, or a scene's folder, whose day/ is taken.

    Raises:
        SceneError: nothing is there, a file cannot be read, sizes differ.
    """
    if path.is_dir():
        folder = path / "day"
        day = _read_folder(folder if folder.is_dir() else path, max_frames)
    elif path.is_file():
        day = read_frames(path)
    else:
        raise SceneError(f"{path}: no such clip or folder of another camera's day")
    return Scene(path.resolve().stem, day, [], temporal_median(day))


def _read_folder(folder: Path, max_frames: int) -> list[Image]:
    if not folder.is_dir():
        raise SceneError(f"{folder}: no such folder; put pictures or clips of the camera there")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES | CLIPS)
    frames: list[Image] = []
    for path in files:
        new = read_frames(path) if path.suffix.lower() in CLIPS else [_read_picture(path)]
        if frames and new[0].shape != frames[0].shape:
            raise SceneError(
                f"{path}: {_size(new[0])}, but {files[0].name} is {_size(frames[0])}; give one size"
            )
        frames += new
    if not frames:
        raise SceneError(f"{folder}: holds no picture or clip ({', '.join(sorted(PICTURES | CLIPS))})")
    if len(frames) > max_frames:
        frames = spread(frames, max_frames)
    return frames


def read_frames(path: Path) -> list[Image]:
    """Every frame of a clip as it is to be shown: uint8 RGB (H, W, 3), upright."""
    try:
        with av.open(str(path)) as clip:
            frames = list(rgb_pictures(clip))
    except NoVideoError as error:
        raise SceneError(f"{path}: cannot be read as a clip: {error}") from None
    except (av.FFmpegError, OSError) as error:
        raise SceneError(f"{path}: cannot be read as a clip ({type(error).__name__})") from None
    if not frames:
        raise SceneError(f"{path}: holds no frame")
    return frames


def _read_picture(path: Path) -> Image:
    data = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if data is None:
        raise SceneError(f"{path}: cannot be read as a picture")
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)


def write_picture(path: Path, rgb: Image) -> None:
    """Write uint8 RGB (H, W, 3) as the format the file name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not ok:
        raise OSError(f"{path}: cannot encode a {path.suffix} picture")
    path.write_bytes(data.tobytes())


def spread(images: list[Image], count: int) -> list[Image]:
    """At most ``count`` of the images, evenly spread, the first and the last among them."""
    picks = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [images[i] for i in picks]


def temporal_median(frames: list[Image]) -> Image:
    """The per-pixel median over the clip (x_ref): things that move are gone, without the ghosts of a mean."""
    median = np.median(np.stack(spread(frames, MEDIAN_FRAMES)), axis=0)
    return np.asarray(np.rint(median), np.uint8)


def _size(image: Image) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
