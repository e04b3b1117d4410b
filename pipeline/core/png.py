"""Writing PNG files so that nobody sees half of one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .atomic_file import write_atomically


def save_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write ``rgb`` (H, W, 3) to ``path`` in one step; its folder is made if missing.

    Everybody may read the file, since a web server or another user shows it. Raises OSError naming the file.
    """
    encoded, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise OSError(f"cannot encode a picture of {rgb.shape} as PNG for {path}")
    write_atomically(path, [data.tobytes()], mode=0o644)
