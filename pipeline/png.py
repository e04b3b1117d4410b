"""PNG files that are never seen half-written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def save_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Write ``rgb`` (H, W, 3) to ``path``, whose folder is made if missing.

    Who reads the file sees the old one or the new one, whole. Raises OSError naming the file.
    """
    encoded, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise OSError(f"cannot encode a picture of {rgb.shape} as PNG for {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.tobytes())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a web server or another user shows these
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
