"""Whether a model was made for the scene that a camera shows.

A checkpoint holds a picture of its scene: x_ref, or else the night frames on which its engines are qualified. Compared
are the directions of edges in 6×4 blocks, as ``scene_change`` does it, which day and night have in common. The score is
the median correlation of the blocks in their places. Of 34 cameras one's own nights had 0.07 and more beside its day,
the nights of others at most 0.12; see "Scene" in benchmarks/NOTES.md. In between nothing is said. A view that is found
elsewhere, or zoomed, is of a camera that was moved, which is ``scene_change``'s to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene_change import (
    COLUMNS,
    FEWEST_BLOCKS,
    LEAST_STRUCTURE,
    ROWS,
    edge_directions,
    search_block,
    small_view,
    structure,
)

# Score from which on a view shows the model's scene, and the highest median and maximum of those that do not.
FITS, MISFIT, MISFIT_MOST = 0.13, 0.07, 0.12
# Looks before a camera is said to show another scene, and seconds between them.
FEWEST_LOOKS, EVERY = 5, 10.0
# Looks that are remembered.
MOST_LOOKS = 30
# Pixels of the view within which a moved scene is looked for, the zooms that are tried, and by how many deviations
# it must stand out.
REACH, ZOOMS, STANDS_OUT = 18, (0.9, 1.0, 1.1), 5.5

Views = Sequence[NDArray[np.uint8]]


def score(scene: NDArray[np.uint8], view: NDArray[np.uint8]) -> float | None:
    """How well a view shows a scene: the median correlation of the blocks, -1 to 1; None without structure.

    Args:
        scene, view: grey, (h, w) each; the view is brought to the size of the scene.
    """
    one, two = _fields(scene, view)
    structured = np.minimum(structure(one), structure(two)) >= LEAST_STRUCTURE
    blocks = [(int(row), int(column)) for row, column in zip(*np.nonzero(structured), strict=True)]
    if len(blocks) < FEWEST_BLOCKS:
        return None
    return float(np.median([search_block(one, two, row, column, 1)[0] for row, column in blocks]))


def found_elsewhere(scene: NDArray[np.uint8], view: NDArray[np.uint8]) -> bool:
    """Whether a view shows the scene shifted by up to a tenth of the width, or zoomed."""
    height, width = scene.shape
    for zoom in ZOOMS:
        turned = cv2.warpAffine(
            cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA),
            cv2.getRotationMatrix2D((width / 2, height / 2), 0, zoom),
            (width, height),
            borderMode=cv2.BORDER_REPLICATE,
        )
        one, two = _fields(scene, np.asarray(turned, np.uint8))
        surface = cv2.matchTemplate(one, two[REACH : height - REACH, REACH : width - REACH], cv2.TM_CCOEFF_NORMED)
        if float(surface.max() - surface.mean()) > STANDS_OUT * float(surface.std() + 1e-9):
            return True
    return False


def shows_scene(scene: NDArray[np.uint8], views: Views) -> bool | None:
    """Whether pictures show a model's scene; None where they do not tell.

    Args:
        scene: grey (h, w).
        views: grey pictures of one camera, any size.
    """
    scored = [(value, view) for view in views if (value := score(scene, view)) is not None]
    return verdict([value for value, _ in scored], lambda: any(found_elsewhere(scene, view) for _, view in scored))


def verdict(scores: Sequence[float], moved: Callable[[], bool]) -> bool | None:
    """Whether views with these scores show the scene; ``moved`` is asked where they do not."""
    if not scores:
        return None
    if np.median(scores) >= FITS:
        return True
    if np.median(scores) < MISFIT and max(scores) < MISFIT_MOST and not moved():
        return False
    return None


class ModelFit:
    """Watches whether one camera shows the scene of its model. One thread calls ``look``.

    Args:
        scene: the model's scene, (H, W, 3) uint8 RGB; None where the checkpoint holds none, and nothing is told.
    """

    def __init__(self, scene: NDArray[np.uint8] | None) -> None:
        self._scene = None if scene is None else small_view(scene)[1]
        self._scores: list[float] = []
        self._looked_at: float | None = None
        self.fits: bool | None = None
        """Whether the model fits; None while that is not known."""

    def due(self, seconds: float) -> bool:
        """Whether a look is due at ``seconds`` on the camera's clock. Once the model fits none is."""
        if self._scene is None or self.fits:
            return False
        return self._looked_at is None or abs(seconds - self._looked_at) >= EVERY

    def look(self, rgb: NDArray[np.uint8], *, seconds: float) -> bool | None:
        """Look at a frame as the camera saw it, (H, W, 3); returns ``fits``."""
        self._looked_at = seconds
        scene = self._scene
        if scene is None or self.fits:
            return self.fits
        view = small_view(rgb)[1]
        value = score(scene, view)
        if value is not None:
            self._scores = [*self._scores, value][-MOST_LOOKS:]
        found = verdict(self._scores, lambda: found_elsewhere(scene, view))
        if found or len(self._scores) >= FEWEST_LOOKS:
            self.fits = found
        return self.fits


def _fields(scene: NDArray[np.uint8], view: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    height, width = scene.shape
    if view.shape != scene.shape:
        view = np.asarray(cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    fields = edge_directions(scene), edge_directions(view)
    for one in fields:  # the picture's border is an edge of many cameras
        one[:2] = one[-2:] = 0
        one[:, :2] = one[:, -2:] = 0
    return fields
