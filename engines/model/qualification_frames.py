"""Qualification frames: a few night frames of the model's own camera, stored in its checkpoint.

Engines are compared with eager fp32 on them, and int8 takes its ranges from them. A model that takes backgrounds has
those of each frame beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import CheckpointError
from ..video.streams import NoVideoError, best_video, rgb_pictures
from .checkpoint import BACKGROUNDS_KEY, FRAMES_KEY, read_checkpoint

RgbImage = NDArray[np.uint8]
"""One picture, uint8 RGB (H, W, 3)."""

RgbPair = tuple[RgbImage, RgbImage]
"""A camera's backgrounds by day and by night, uint8 RGB (H, W, 3) each."""

# How many frames are kept: the most of these that fit.
COUNTS = (8, 6, 4)

# What all frames of a checkpoint may take: eight noisy ones of 352×288 fit.
MAX_BYTES = 1_500_000

# The same where each frame has backgrounds: six of 352×288 fit, each of another camera.
MAX_BYTES_WITH_BACKGROUNDS = 2_400_000

# How many synthetic frames there are, and their size unless the model holds a picture of its camera.
SYNTHETIC = 4
SYNTHETIC_SIZE = (288, 352)

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def pack(frames: Sequence[RgbImage]) -> list[Tensor]:
    """Up to 8 frames spread over ``frames``, as PNG files in uint8 tensors for ``save_checkpoint``.

    Args:
        frames: uint8 RGB (H, W, 3) each. As many are kept as fit into ``MAX_BYTES``, but at least 4 if there are as
            many. Large frames are shrunk to a half, a quarter and so on until 4 of them fit.
    """
    return [frame for (frame,) in _packed([(frame,) for frame in frames], MAX_BYTES)]


def pack_with_backgrounds(
    frames: Sequence[RgbImage], backgrounds: Sequence[RgbPair]
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
    """``pack`` for a model that takes backgrounds: frames, and the backgrounds of each that is kept.

    All of it fits into ``MAX_BYTES_WITH_BACKGROUNDS``. Raises ValueError where a background has another size than its
    frame.

    Args:
        frames: night frames, uint8 RGB (H, W, 3) each; those of several cameras are best mixed.
        backgrounds: by day and by night, of each frame, of the frame's size; or one pair for all frames.

    Returns:
        The frames, and as many pairs, or one if one was given.
    """
    if len(backgrounds) not in (1, len(frames)):
        raise ValueError(f"{len(backgrounds)} pairs of backgrounds for {len(frames)} frames")
    for i, frame in enumerate(frames):
        for background in backgrounds[i if len(backgrounds) > 1 else 0]:
            if background.shape != frame.shape:
                raise ValueError(f"frame {i} is {frame.shape}, and a background of it {background.shape}")
    if len(backgrounds) == 1 and frames:
        ((by_day, by_night),) = backgrounds
        shared = [(frame,) for frame in frames] + [(by_day,), (by_night,)]
        *kept, day, night = _packed(shared, MAX_BYTES_WITH_BACKGROUNDS, always=2)
        return [frame for (frame,) in kept], [(day[0], night[0])]
    scenes = [(frame, *pair) for frame, pair in zip(frames, backgrounds, strict=True)]
    packed = _packed(scenes, MAX_BYTES_WITH_BACKGROUNDS)
    return [frame for frame, _, _ in packed], [(day, night) for _, day, night in packed]


def _packed(
    groups: Sequence[tuple[RgbImage, ...]], most: int, *, always: int = 0
) -> list[tuple[Tensor, ...]]:
    """As many groups as fit into ``most`` bytes, see ``pack``; the last ``always`` of them are kept in any case."""
    others, last = groups[: len(groups) - always], groups[len(groups) - always :]
    shrink = 1
    while others:
        files = [[_png(image, shrink) for image in group] for group in spread(others, COUNTS[0])]
        kept_always = [[_png(image, shrink) for image in group] for group in last]
        for count in COUNTS:
            kept = [*spread(files, count), *kept_always]
            if sum(len(file) for group in kept for file in group) <= most:
                return [tuple(torch.from_numpy(file.copy()) for file in group) for group in kept]
        shrink *= 2
    return []


def frames_of_checkpoint(checkpoint: str | Path) -> list[RgbImage]:
    """The qualification frames of a checkpoint, uint8 RGB (H, W, 3) each; ``synthetic_nights`` if it has none.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, or its qualification frames are no pictures.
    """
    return frames_of_content(read_checkpoint(checkpoint), checkpoint)


def frames_of_content(content: dict[str, Any], path: str | Path) -> list[RgbImage]:
    """``frames_of_checkpoint`` for what ``read_checkpoint`` has read from ``path``."""
    stored = content.get(FRAMES_KEY)
    if not stored or (_takes_backgrounds(content) and not content.get(BACKGROUNDS_KEY)):
        return synthetic_nights((content.get("settings") or {}).get("reference") or SYNTHETIC_SIZE)
    try:
        return [_rgb(file.numpy()) for file in stored]
    except (AttributeError, TypeError, ValueError, cv2.error):
        raise CheckpointError(
            f"{path}: its qualification frames are not PNG pictures; make it again"
        ) from None


def backgrounds_of_content(content: dict[str, Any], path: str | Path) -> list[RgbPair]:
    """The backgrounds of each frame of ``frames_of_content``, read-only; none for a model that takes none.

    Raises:
        CheckpointError: they are no pictures, or do not fit the frames.
    """
    if not _takes_backgrounds(content):
        return []
    frames, stored = frames_of_content(content, path), content.get(BACKGROUNDS_KEY)
    if not stored or not content.get(FRAMES_KEY):
        return [synthetic_backgrounds(SYNTHETIC_SIZE)] * len(frames)
    try:
        pairs = [(_fixed(_rgb(day.numpy())), _fixed(_rgb(night.numpy()))) for day, night in stored]
    except (AttributeError, TypeError, ValueError, cv2.error):
        raise CheckpointError(
            f"{path}: its qualification backgrounds are not pairs of PNG pictures; make it again"
        ) from None
    pairs = pairs * len(frames) if len(pairs) == 1 else pairs
    shapes = [[frame.shape] * 2 for frame in frames]
    if shapes != [[picture.shape for picture in pair] for pair in pairs]:
        raise CheckpointError(f"{path}: its qualification backgrounds do not fit its frames; make it again")
    return pairs


def _takes_backgrounds(content: dict[str, Any]) -> bool:
    return bool((content.get("settings") or {}).get("backgrounds"))


def _fixed(picture: RgbImage) -> RgbImage:
    """The picture, to which nobody can write any more; so engines keep what they make of it."""
    picture.setflags(write=False)
    return picture


def digest(frames: Sequence[RgbImage]) -> str:
    """sha256 of frames, of their sizes and their bytes."""
    found = hashlib.sha256()
    for frame in frames:
        found.update(repr(frame.shape).encode())
        found.update(frame.tobytes())
    return found.hexdigest()


def synthetic_nights(size: tuple[int, int]) -> list[RgbImage]:
    """Four pictures (height, width) of a made-up dark street: houses, windows, lamps, moving lights, noise.

    They are always the same. They stand in for the camera's own nights where a checkpoint has none, and say nothing
    about how good the model is.
    """
    rng = np.random.default_rng(20_261_125)
    street, x, y = _street(size, rng)
    frames = []
    for i in range(SYNTHETIC):
        frame = street.copy()
        for lane in range(3):  # head lamps and tail lamps that move
            at = (0.2 * lane + (0.23 if lane % 2 else -0.17) * i) % 1
            colour = np.array([255, 240, 220] if lane % 2 else [255, 0, 0], np.float32)
            frame += _glow(x, y, at, 0.7 + 0.08 * lane, 0.02) * colour
        frame += rng.normal(0, 1, frame.shape) * (3 + 0.4 * np.sqrt(frame))
        frames.append(frame.round().clip(0, 255).astype(np.uint8))
    return frames


def synthetic_backgrounds(size: tuple[int, int]) -> RgbPair:
    """The street of ``synthetic_nights`` by day and by night when nothing passes, read-only."""
    rng = np.random.default_rng(20_261_125)
    by_night, _, y = _street(size, rng)
    rng = np.random.default_rng(20_261_125)
    lampless, _, _ = _street(size, rng, lamps=False)
    by_day = 70 + 60 * y[..., None] + 4 * lampless.clip(0, 35) + rng.normal(0, 2, lampless.shape)
    day, night = (picture.round().clip(0, 255).astype(np.uint8) for picture in (by_day, by_night))
    return _fixed(day), _fixed(night)


def _street(
    size: tuple[int, int], rng: np.random.Generator, *, lamps: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """A dark street without what moves, float (H, W, 3), and how far right and down each pixel is, [0, 1)."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / height, x / width
    street = 8 + 14 * y[..., None] * np.array([1.0, 0.9, 0.8], np.float32)
    for _ in range(12):  # houses with a window each
        left, top, wide = rng.uniform(0, 0.9), rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.2)
        street[(x > left) & (x < left + wide) & (y > top) & (y < 0.6)] = rng.uniform(2, 30, 3)
        street[(abs(x - left - wide / 2) < 0.01) & (abs(y - top - 0.05) < 0.015)] = rng.uniform(90, 230, 3)
    for lamp in rng.uniform(0.05, 0.95, 5):
        street += lamps * _glow(x, y, lamp, 0.25, 0.05) * np.array([255, 190, 110], np.float32)
    return street, x, y


def read_picture(path: Path) -> RgbImage:
    """A picture as uint8 RGB (H, W, 3), read-only. Raises ValueError, which names the file, where it is none."""
    try:
        return _fixed(_rgb(np.frombuffer(path.read_bytes(), np.uint8)))
    except (OSError, ValueError, cv2.error):
        raise ValueError(f"{path}: cannot be read as a picture") from None


def read_frames(path: Path, count: int = COUNTS[0]) -> list[RgbImage]:
    """Up to ``count`` uint8 RGB (H, W, 3) frames spread over a folder of pictures or over a clip.

    Raises ValueError, which names the file, where no frame can be read.
    """
    if path.is_dir():
        # Hidden files are none: macOS leaves a ._x.png beside x.png.
        shown = (file for file in path.iterdir() if not file.name.startswith("."))
        files = sorted(file for file in shown if file.suffix.lower() in PICTURE_SUFFIXES)
        if not files:
            raise ValueError(f"{path}: holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))})")
        try:
            return [_rgb(np.frombuffer(file.read_bytes(), np.uint8)) for file in spread(files, count)]
        except (ValueError, cv2.error):
            raise ValueError(f"{path}: holds a file that is not a picture though its name says so") from None
    try:
        with av.open(str(path)) as clip:
            total = sum(1 for packet in clip.demux(best_video(clip)) if packet.size)
        wanted = set(spread(range(total), count))
        with av.open(str(path)) as clip:
            frames = list(rgb_pictures(clip, wanted))
    except NoVideoError as error:
        raise ValueError(f"{path}: cannot be read as a clip: {error}") from None
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as a clip ({type(error).__name__})") from None
    if not frames:
        raise ValueError(f"{path}: holds no frame")
    return frames


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """``count`` items at equal distances; all if there are fewer."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def _png(rgb: RgbImage, shrink: int) -> RgbImage:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    if shrink > 1:
        size = tuple(max(16, side // shrink) for side in rgb.shape[1::-1])
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    encoded: RgbImage = cv2.imencode(".png", bgr)[1]
    return encoded


def _rgb(file: RgbImage) -> RgbImage:
    bgr = cv2.imdecode(file, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("not a picture")
    rgb: RgbImage = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def _glow(
    x: NDArray[np.float32], y: NDArray[np.float32], at: float, high: float, wide: float
) -> NDArray[np.float32]:
    return np.exp(-((x - at) ** 2 + (y - high) ** 2) / (2 * wide**2))[..., None]
