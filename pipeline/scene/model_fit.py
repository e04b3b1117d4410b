"""Whether a model was made for the scene that a camera shows.

A checkpoint holds a picture of its scene: x_ref, or else the night frames on which its engines are qualified.
Compared are the directions of edges in 6×4 blocks, as in ``scene_change``; day and night have them in common. A
block is in its place if it correlates better there than nearly anywhere around. Labels and logos, which cameras of
one owner share, are in few blocks. A view counts as of another scene if few blocks are in place and the blocks
hardly correlate; what lies between is not told. The limits were measured on 47 public cameras; see "Scene" in
benchmarks/NOTES.md. A view that is found elsewhere, or zoomed, is of a camera that was moved, which is
``scene_change``'s to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene_change import (
    COLUMNS,
    FEWEST_BLOCKS,
    LEAST_STRUCTURE,
    ROWS,
    edge_directions,
    small_view,
    structure,
)

# Share of the blocks in place from which on views show the model's scene.
FITS = 0.5
# Share and correlation below both of which they show another one.
MISFIT, UNRELATED = 0.34, 0.1
# Pixels around its place within which a block's correlation is compared, and the share of places it must exceed.
AROUND, BETTER_THAN = 8, 0.96
# Share of the height at the top and at the bottom in which lettering stands, and which is not compared.
LETTERING = 0.1
# Looks before a camera is said to show another scene, and seconds between them.
FEWEST_LOOKS, EVERY = 5, 10.0
# Looks that are remembered.
MOST_LOOKS = 30
# Pixels of the view within which a moved scene is looked for, the zooms that are tried, and by how many deviations
# it must stand out.
REACH, ZOOMS, STANDS_OUT = 18, (0.9, 1.0, 1.1), 5.5

Views = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Match:
    """How a view matches a scene.

    Attributes:
        in_place: share of the blocks with structure in both that are in their places, 0 to 1.
        correlation: their median correlation there, -1 to 1.
    """

    in_place: float
    correlation: float


def match(scene: NDArray[np.uint8], view: NDArray[np.uint8]) -> Match | None:
    """How a view matches a scene; None where there is too little structure to tell.

    Args:
        scene, view: grey, (h, w) each; the view is brought to the size of the scene.
    """
    one, two = _fields(scene, view)
    structured = np.minimum(structure(one), structure(two)) >= LEAST_STRUCTURE
    found = [
        _block(one, two, int(row), int(column)) for row, column in zip(*np.nonzero(structured), strict=True)
    ]
    if len(found) < FEWEST_BLOCKS:
        return None
    in_place, correlations = zip(*found, strict=True)
    return Match(float(np.mean(in_place)), float(np.median(correlations)))


def _block(
    scene: NDArray[np.float32], view: NDArray[np.float32], row: int, column: int
) -> tuple[bool, float]:
    """Whether a block of edge fields is in its place, and its correlation there; a camera's jitter is a pixel."""
    height, width = scene.shape[:2]
    top, bottom = row * height // ROWS, (row + 1) * height // ROWS
    left, right = column * width // COLUMNS, (column + 1) * width // COLUMNS
    y, x = min(top, AROUND), min(left, AROUND)
    area = scene[top - y : bottom + AROUND, left - x : right + AROUND]
    correlations = cv2.matchTemplate(area, view[top:bottom, left:right], cv2.TM_CCOEFF_NORMED)
    here = float(correlations[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max())
    return float((correlations < here).mean()) > BETTER_THAN, here


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
        surface = cv2.matchTemplate(
            one, two[REACH : height - REACH, REACH : width - REACH], cv2.TM_CCOEFF_NORMED
        )
        if float(surface.max() - surface.mean()) > STANDS_OUT * float(surface.std() + 1e-9):
            return True
    return False


def shows_scene(scene: NDArray[np.uint8], views: Views) -> bool | None:
    """Whether pictures show a model's scene; None where they do not tell.

    Args:
        scene: grey (h, w).
        views: grey pictures of one camera, any size.
    """
    matched = [(found, view) for view in views if (found := match(scene, view)) is not None]
    return verdict(
        [found for found, _ in matched], lambda: any(found_elsewhere(scene, view) for _, view in matched)
    )


def verdict(matches: Sequence[Match], moved: Callable[[], bool]) -> bool | None:
    """Whether views with these matches show the scene; ``moved`` is asked where they do not."""
    if not matches:
        return None
    shares = [found.in_place for found in matches]
    share, correlation = np.median(shares), np.median([found.correlation for found in matches])
    if share >= FITS:
        return True
    if share < MISFIT and correlation < UNRELATED and max(shares) < FITS and not moved():
        return False
    return None


class ModelFit:
    """Watches whether one camera shows the scene of its model. One thread calls ``look``.

    Args:
        scene: the model's scene, (H, W, 3) uint8 RGB; None where the checkpoint holds none, and nothing is told.
    """

    def __init__(self, scene: NDArray[np.uint8] | None) -> None:
        self._scene = None if scene is None else small_view(scene)[1]
        self._matches: list[Match] = []
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
        found = match(scene, view)
        if found is not None:
            self._matches = [*self._matches, found][-MOST_LOOKS:]
        fits = verdict(self._matches, lambda: found_elsewhere(scene, view))
        if fits or len(self._matches) >= FEWEST_LOOKS:
            self.fits = fits
        return self.fits


def _fields(
    scene: NDArray[np.uint8], view: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    height, width = scene.shape
    if view.shape != scene.shape:
        view = np.asarray(cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    fields = edge_directions(scene), edge_directions(view)
    # The border of a picture is an edge at many cameras, and lettering stands at the top and bottom.
    high = round(LETTERING * height)
    for one in fields:
        one[:high] = one[height - high :] = 0
        one[:, :2] = one[:, -2:] = 0
    return fields
