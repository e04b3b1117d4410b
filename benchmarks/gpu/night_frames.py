"""Four night frames for the quality figures: of the bundled clips, or made up where PyAV is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLIPS = Path(__file__).parents[1] / "clips"
NAMES = ("night_a1_barnet_simulated.mp4", "night_tfl_07450_piccadilly.mp4")


def night_frames() -> tuple[NDArray[np.uint8], str]:
    """Night frames, uint8 RGB (4, H, W, 3), and where they come from."""
    try:
        from nightday.train.footage.scene import read_frames
    except ImportError as error:
        rng = np.random.default_rng(0)
        smooth = rng.integers(0, 60, (4, 36, 44, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
        return smooth + rng.integers(0, 6, smooth.shape, dtype=np.uint8), f"made up: {error}"
    clips = [read_frames(CLIPS / name) for name in NAMES]
    return np.stack([frames[at] for frames in clips for at in (20, 200)]), "four of the clips"
