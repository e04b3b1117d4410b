"""A camera's backgrounds, left for it as the program itself would have."""

from __future__ import annotations

from pathlib import Path

from nightday.pipeline.core.camera_url import redact
from nightday.pipeline.scene.background_file import SavedBackground, SavedMedian, save_background
from nightday.train.footage.scene import Image

# Pictures that backgrounds are said to be the median of.
LEARNT = 25


def remember(folder: Path, camera: str, source: str, *, day: Image, night: Image) -> str:
    """Leave the backgrounds of a camera with ``translate: always``; returns the picture they are saved beside."""
    medians = {"day": SavedMedian(day, LEARNT), "night": SavedMedian(night, LEARNT)}
    agreements = dict.fromkeys(medians, 1.0)
    saved = SavedBackground(medians=medians, lasting=medians, agreements=agreements, told_by="always")
    picture = folder / f"{camera}.png"
    save_background(picture.with_suffix(".state"), saved, camera=camera, source=redact(source))
    return str(picture)
