"""Golden frames: a few night frames of the model's own camera, stored in its checkpoint.

Engines are held against eager fp32 on them, and int8 learns its ranges from them.
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
from .checkpoint import read_checkpoint

Picture = NDArray[np.uint8]

COUNTS = (8, 6, 4)  # as many frames as have room
MAX_BYTES = 1_500_000  # of all frames of a checkpoint: eight of 352×288 by night, noise and all
SYNTHETIC = 4
SIZE = (288, 352)  # of synthetic frames, unless the model holds a picture of its camera
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def pack(frames: Sequence[Picture]) -> list[Tensor]:
    """Up to 8 frames spread over ``frames``, as PNG files in uint8 tensors for ``save_checkpoint``.

    Args:
        frames: uint8 RGB (H, W, 3) each. As many are kept as fit ``MAX_BYTES``, at least 4 (if there are as many); of
            large ones, halves, quarters and so on.
    """
    shrink = 1
    while frames:
        files = [_png(frame, shrink) for frame in spread(frames, COUNTS[0])]
        for count in COUNTS:
            if sum(map(len, kept := spread(files, count))) <= MAX_BYTES:
                return [torch.from_numpy(file.copy()) for file in kept]
        shrink *= 2
    return []


def golden_frames(checkpoint: str | Path) -> list[Picture]:
    """The golden frames of a checkpoint, uint8 RGB (H, W, 3) each; of one without any, ``synthetic_nights``.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, or its golden frames are no pictures.
    """
    return frames_of(read_checkpoint(checkpoint), checkpoint)


def frames_of(content: dict[str, Any], path: str | Path) -> list[Picture]:
    """``golden_frames`` of what ``read_checkpoint`` read from ``path``."""
    stored = content.get("golden")
    if not stored:
        return synthetic_nights((content.get("settings") or {}).get("reference") or SIZE)
    try:
        return [_rgb(file.numpy()) for file in stored]
    except (AttributeError, TypeError, ValueError, cv2.error):
        raise CheckpointError(f"{path}: its golden frames are not PNG pictures; make it again") from None


def digest(frames: Sequence[Picture]) -> str:
    """sha256 of frames."""
    found = hashlib.sha256()
    for frame in frames:
        found.update(repr(frame.shape).encode())
        found.update(frame.tobytes())
    return found.hexdigest()


def synthetic_nights(size: tuple[int, int]) -> list[Picture]:
    """A dark street that is nobody's, (height, width), always the same: houses, windows, lamps, moving lights, noise.

    What stands in for the camera's own nights where a checkpoint has none; of the model's worth it says nothing.
    """
    height, width = size
    rng = np.random.default_rng(20_261_125)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / height, x / width
    street = 8 + 14 * y[..., None] * np.array([1.0, 0.9, 0.8], np.float32)
    for _ in range(12):  # houses and, in them, windows
        left, top, wide = rng.uniform(0, 0.9), rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.2)
        street[(x > left) & (x < left + wide) & (y > top) & (y < 0.6)] = rng.uniform(2, 30, 3)
        street[(abs(x - left - wide / 2) < 0.01) & (abs(y - top - 0.05) < 0.015)] = rng.uniform(90, 230, 3)
    for lamp in rng.uniform(0.05, 0.95, 5):
        street += _glow(x, y, lamp, 0.25, 0.05) * np.array([255, 190, 110], np.float32)
    frames = []
    for i in range(SYNTHETIC):
        frame = street.copy()
        for lane in range(3):  # head and tail lamps go by
            at = (0.2 * lane + (0.23 if lane % 2 else -0.17) * i) % 1
            colour = np.array([255, 240, 220] if lane % 2 else [255, 0, 0], np.float32)
            frame += _glow(x, y, at, 0.7 + 0.08 * lane, 0.02) * colour
        frame += rng.normal(0, 1, frame.shape) * (3 + 0.4 * np.sqrt(frame))
        frames.append(frame.round().clip(0, 255).astype(np.uint8))
    return frames


def read_frames(path: Path, count: int = COUNTS[0]) -> list[Picture]:
    """Up to ``count`` uint8 RGB (H, W, 3) frames spread over a folder of pictures or over a clip.

    Raises ValueError, naming the file, where there is none to be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
        if not files:
            raise ValueError(f"{path}: holds no picture ({', '.join(sorted(PICTURES))})")
        try:
            return [_rgb(np.frombuffer(file.read_bytes(), np.uint8)) for file in spread(files, count)]
        except (ValueError, cv2.error):
            raise ValueError(f"{path}: holds a file that is not a picture, for all its name") from None
    try:
        with av.open(str(path)) as clip:
            total = sum(1 for packet in clip.demux(video=0) if packet.size)
        wanted = set(spread(range(total), count))
        with av.open(str(path)) as clip:
            decoded = enumerate(clip.decode(video=0))
            frames = [frame.to_ndarray(format="rgb24") for i, frame in decoded if i in wanted]
    except (av.FFmpegError, IndexError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as a clip ({type(error).__name__})") from None
    if not frames:
        raise ValueError(f"{path}: holds no frame")
    return frames


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """``count`` of the items, evenly; all if there are not as many."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def _png(rgb: Picture, shrink: int) -> Picture:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    if shrink > 1:
        size = tuple(max(16, side // shrink) for side in rgb.shape[1::-1])
        bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", bgr)[1]


def _rgb(file: Picture) -> Picture:
    bgr = cv2.imdecode(file, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("not a picture")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _glow(
    x: NDArray[np.float32], y: NDArray[np.float32], at: float, high: float, wide: float
) -> NDArray[np.float32]:
    return np.exp(-((x - at) ** 2 + (y - high) ** 2) / (2 * wide**2))[..., None]
