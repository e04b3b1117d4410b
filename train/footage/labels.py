"""Labelled boxes that lie beside pictures, a text file each, as the tools for YOLO write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightday.engines.errors import NightdayError


class LabelError(NightdayError, ValueError):
    """A file of labels cannot be used. The message is one line and names it."""


def labels_of(paths: Sequence[Path], shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """The labelled boxes of each picture, as ``read_yolo`` gives them; none at all where no picture has labels."""
    if not any(path.with_suffix(".txt").is_file() for path in paths):
        return []
    return [read_yolo(path.with_suffix(".txt"), shape) for path in paths]


def read_yolo(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Boxes of a YOLO label file (a line each: class, centre x, centre y, width, height, as shares), in pixels.

    Args:
        path: the file; where there is none, nothing is labelled.
        shape: of the picture, (H, W, …).

    Returns:
        (N, 4): x1, y1, x2, y2.

    Raises:
        LabelError: it is something else.
    """
    height, width = shape[:2]
    try:
        lines = path.read_text().splitlines() if path.is_file() else []
        rows = [[float(value) for value in line.split()[1:5]] for line in lines if line.strip()]
        boxes = np.array(rows, np.float64).reshape(len(rows), 4)
    except (OSError, ValueError):
        raise LabelError(
            f"{path}: cannot be read as labels; a line each of class, centre x, centre y, width, height, as shares"
        ) from None
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.asarray(np.hstack([middle - half, middle + half]) * (width, height, width, height))
