"""Whether a fixed camera still looks at the scene it looked at: moved, zoomed, refocused, or as before.

What is compared is where edges are and which way they run, as the camera itself sees them (the generator draws
the scene it knows, whatever it is given), in small grey views: the median of the last nine against a reference
that follows slowly. The direction is taken with the angle doubled, so that an edge whose dark side turns light
is still the same edge; its strength is divided by that of its surroundings, so that light hardly matters. A view is
compared only with its own kind, colour, dark or grey (infrared), because nothing else makes a fixed scene look so
different as the switch between them.

The picture is compared in 6×4 blocks, each looked for around its place. A scene has *moved* if blocks are found
elsewhere and agree on one shift and scale, or if hardly a block is found in its place. A lorry, headlights or a
burnt-in clock change some blocks only. Where the view has no structure (fog, a black picture) nothing is decided.
It is *refocused* if the edges are in their places but much softer or sharper than before. Either must last.

Measured on 530 stills of fifteen public cameras and fifteen clips of 10 to 48 s:

- False alarms: one in 172 simulated hours (20 600 looks, 30 s apart, through days and nights of all fifteen cameras
  with the stills cross-faded, noise, lorries over up to 45 % of the width and headlights added): a nightfall taken
  for a lost focus. None in another still or another half of the clip (45 of 45). Of 1142 pairs of single stills of
  the same light, hours and days apart, 3 look moved (the sun in the lens) and 6 refocused; to last, it takes more.
  A patterned lorry over half of the view for 90 s, 540 times at random places: told as a move twice, both by one
  night that is nearly black.
- Told after 10 looks (20 s at 2 s), by day (27 scenes) / by night (18 scenes): pans by 5, 10, 20 and 50 % of the
  view 100, 100, 100, 96 % / 94, 94, 94, 78 %; zooms by 1.05, 1.1, 1.2, 1.5: 100, 100, 96, 100 % / 89, 94, 89, 89 %;
  another camera's view 100 % / 50 %. After 35 looks: a blur of σ = 1.25 % of the width 100 % / 83 %, of 0.6 % of
  the width 4 % / 6 %.
  What is missed by night is a view too black to tell, or one that is of another kind of light than any seen before.
- Cost on one busy core: 5.5 ms a look at 1080p, of which 2.2 ms make the view; 8 ms where blocks are searched for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

SceneChange = Literal["moved", "refocused"]
ViewKind = Literal["colour", "dark", "grey"]
Grey = NDArray[np.uint8]

WIDTH = 160  # pixels of a view
VIEWS = 9  # whose median is compared: what stands for less than five of them is not there
RATE = 0.01  # a sample's share in the reference: at 2 s it follows the sun with a lag of 200 s
DARK, GREYISH = (
    87.0,
    1.5,
)  # mean luma and mean |Cb| + |Cr|: between the thresholds of ``night_gate``

COLUMNS, ROWS = 6, 4
REACH = 18  # pixels a block is looked for around its place: 11 % of the width
SLOPE = 0.75  # grey levels a pixel; what is flatter counts as flat
STRUCTURE = 0.05  # least mean square of a block's field (of at most 1) for it to be compared
FOUND = 0.3  # correlation from which a block counts as found
SURE = 0.5  # if three quarters of the blocks correlate better in their places, none is looked for elsewhere
ENOUGH = 6  # blocks to say anything about

LOST = 0.2  # moved, if less of the blocks are found in their places
AGREE, SHIFT = 0.45, 1.5  # moved, if as many of the found blocks agree on a warp of so many pixels on average
SOFT, SHARP = 0.55, 1.9  # refocused, if the edges' sharpness is beyond these times the reference's
AS_BEFORE, SOME = (0.8, 1.25), 0.05  # where more of the blocks are as sharp as ever, the lost ones are hidden

HITS = 4  # samples in a row a change must show
HOLD: dict[SceneChange, float] = {"moved": 10.0, "refocused": 60.0}  # and seconds; a shower passes


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a view compares with the reference.

    Attributes:
        blocks: blocks with structure in both.
        still: part of them found in their places, 0 to 1.
        found: blocks found anywhere within reach.
        agree: part of those that agree on one shift and scale, 0 to 1.
        shift: how far that moves the blocks on average, in pixels of the view.
        sharpness: of those found in their places, as a multiple of the reference's; the median. If some of these
            are as sharp as ever, the camera's focus is not lost but something hides the blocks that are not found,
            and they count 1.
    """

    blocks: int
    still: float = 1.0
    found: int = 0
    agree: float = 0.0
    shift: float = 0.0
    sharpness: float = 1.0

    @property
    def verdict(self) -> SceneChange | None:
        """What this comparison alone says; None for no change, or for too little to tell."""
        if self.blocks < ENOUGH:
            return None
        if self.still < LOST or (self.found >= ENOUGH and self.agree >= AGREE and self.shift >= SHIFT):
            return "moved"
        if self.still * self.blocks >= ENOUGH and not SOFT <= self.sharpness <= SHARP:
            return "refocused"
        return None


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of a kind of view."""

    views: deque[Grey] = field(default_factory=lambda: deque(maxlen=VIEWS))
    reference: NDArray[np.float32] | None = None
    count: int = 0


class SceneWatch:
    """Follows one camera, a look at a time; memory is at most 0.6 MB for 16:9."""

    def __init__(self) -> None:
        self._asking: tuple[SceneChange, float, int] | None = None
        self.forget()

    def look(self, rgb: NDArray[np.uint8], *, seconds: float) -> SceneChange | None:
        """What has changed for good, if anything has; from then on the new scene is the one compared with.

        Args:
            rgb: the frame as the camera saw it, (H, W, 3).
            seconds: the camera's clock.
        """
        kind, view = small_view(rgb)
        known = self._known[kind]
        if known.views and known.views[0].shape != view.shape:
            known.views.clear()
        if known.reference is not None and known.reference.shape != view.shape:
            known.reference, known.count = None, 0
        known.views.append(view)
        if len(known.views) < VIEWS:
            return None
        recent = np.partition(np.stack(known.views), VIEWS // 2, axis=0)[VIEWS // 2]
        if known.reference is None:
            known.reference, known.count = recent.astype(np.float32), VIEWS
            return None
        compared = compare(known.reference, recent)
        verdict = compared.verdict
        if verdict is None:
            self._asking = None
            if compared.blocks >= ENOUGH:
                known.reference += RATE * (recent - known.reference)
                known.count += 1
            return None
        if self._asking is None or self._asking[0] != verdict:
            self._asking = (verdict, seconds, 0)
        _, since, hits = self._asking
        self._asking = (verdict, since, hits + 1)
        if hits + 1 < HITS or seconds - since < HOLD[verdict]:
            return None
        self.forget()
        self._known[kind] = _Known(reference=recent.astype(np.float32), count=VIEWS)
        return verdict

    def forget(self) -> None:
        """Begin afresh."""
        self._known: dict[ViewKind, _Known] = {"colour": _Known(), "dark": _Known(), "grey": _Known()}
        self._asking = None

    def kept(self) -> dict[str, tuple[Grey, int]]:
        """The references, as ``restore`` takes them: (h, w) uint8 by kind, and the samples they stand for."""
        return {
            kind: (np.rint(known.reference).astype(np.uint8), known.count)
            for kind, known in self._known.items()
            if known.reference is not None
        }

    def restore(self, kept: Mapping[str, tuple[Grey, int]]) -> None:
        """Begin with the references another one ``kept``."""
        self.forget()
        for kind, known in self._known.items():
            if kind in kept:
                known.reference, known.count = kept[kind][0].astype(np.float32), kept[kind][1]


def small_view(rgb: NDArray[np.uint8]) -> tuple[ViewKind, Grey]:
    """The kind of a picture (H, W, 3) RGB, and its grey view (h, ``WIDTH``)."""
    height, width = rgb.shape[:2]
    step = max(1, width // (4 * WIDTH))  # 4 pixels a pixel are enough to average over
    size = (WIDTH, min(max(2 * ROWS, round(WIDTH * height / width)), 2 * WIDTH))
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), size, interpolation=cv2.INTER_AREA)
    luma, cr, cb = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb))
    chroma = sum(float(np.abs(part.astype(np.int16) - 128).mean()) for part in (cr, cb))
    kind: ViewKind = "dark" if luma.mean() < DARK else "colour"
    return ("grey" if chroma < GREYISH else kind), luma


def compare(reference: NDArray[np.generic], view: NDArray[np.generic]) -> Comparison:
    """Compare two grey views (h, w) of one size."""
    places, blocks = _field(reference), _field(view)
    structured = np.minimum(_structure(places), _structure(blocks)) >= STRUCTURE
    grid = [(int(row), int(column)) for row, column in zip(*np.nonzero(structured), strict=True)]
    if len(grid) < ENOUGH:
        return Comparison(len(grid))
    still = np.array(
        [_search(places, blocks, row, column, 1)[0] for row, column in grid]
    )  # a pixel is jitter
    found, agree, shift = len(grid), 1.0, 0.0
    if np.partition(still, len(still) // 4)[len(still) // 4] < SURE:
        searched = np.array([_search(places, blocks, row, column, REACH) for row, column in grid])
        elsewhere = searched[searched[:, 0] >= FOUND, 1:]
        found = len(elsewhere)
        agree, shift = _warp(elsewhere) if found >= ENOUGH else (0.0, 0.0)
    in_place = still >= FOUND
    sharper = (_sharpness(view) / _sharpness(reference))[structured]
    as_before = in_place & (sharper >= AS_BEFORE[0]) & (sharper <= AS_BEFORE[1])
    counted = np.where(in_place, sharper, 1.0) if as_before.mean() > SOME else sharper[in_place]
    return Comparison(
        blocks=len(grid),
        still=float(in_place.mean()),
        found=found,
        agree=agree,
        shift=shift,
        sharpness=float(np.median(counted)) if len(counted) else 1.0,
    )


def _search(
    places: NDArray[np.float32], blocks: NDArray[np.float32], row: int, column: int, reach: int
) -> tuple[float, float, float, int, int]:
    """Where within ``reach`` pixels of its place a block is found best.

    The correlation, the block's middle (x, y) from that of the picture, and its displacement (x, y).
    """
    height, width = blocks.shape[:2]
    top, bottom = row * height // ROWS, (row + 1) * height // ROWS
    left, right = column * width // COLUMNS, (column + 1) * width // COLUMNS
    up, back = max(top - reach, 0), max(left - reach, 0)
    around = places[up : bottom + reach, back : right + reach]
    scores = cv2.matchTemplate(around, blocks[top:bottom, left:right], cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    return best, (left + right - width) / 2, (top + bottom - height) / 2, x - (left - back), y - (top - up)


def _gradients(grey: NDArray[np.generic], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
    return cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)


def _field(grey: NDArray[np.generic]) -> NDArray[np.float32]:
    """Direction of the edges, (h, w, 2): (cos, sin) of twice their angle, as long as they stand out, 0 to 1."""
    x, y = _gradients(grey, 1.0)
    xx, yy = x * x, y * y
    norm = xx + yy + SLOPE**2 + 0.5 * cv2.blur(xx + yy, (15, 15))
    return np.asarray(cv2.merge(((xx - yy) / norm, 2 * x * y / norm)))


def _structure(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean square of each block, (ROWS, COLUMNS)."""
    square = (directions * directions).sum(axis=2)
    return np.asarray(cv2.resize(square, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA))


def _warp(found: NDArray[np.float64]) -> tuple[float, float]:
    """The shift and scale most blocks agree on: the part of them that does, and how far it moves them.

    ``found`` (n, 4) holds middles, from the middle of the picture, and displacements.
    """
    middle, moved = found[:, :2], found[:, 2:]
    scales = np.linspace(-0.2, 0.2, 21)
    rests = moved - scales[:, None, None] * middle  # (scales, n, 2): the shift each block speaks for
    near = np.abs(rests[:, :, None] - rests[:, None]).max(axis=3) <= 1.0
    votes = near.sum(axis=2) - 0.01 * np.abs(scales)[:, None]  # of equals, the one that scales least
    scale, block = divmod(int(votes.argmax()), len(found))
    members = near[scale, block]
    shift = rests[scale, members].mean(axis=0) + scales[scale] * middle
    return float(members.mean()), float(np.hypot(*shift.T).mean())


def _sharpness(grey: NDArray[np.generic]) -> NDArray[np.float32]:
    """Power of a block's fine gradients as a multiple of its coarse ones', (ROWS, COLUMNS); contrast cancels."""
    fine, coarse = (
        cv2.resize(
            np.square(_gradients(grey, sigma)).sum(axis=0), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA
        )
        for sigma in (0.7, 2.5)
    )
    return np.asarray((fine + 1e-3) / (coarse + 1e-3))
