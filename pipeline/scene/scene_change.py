"""Whether a fixed camera still looks at the same scene, or was moved, zoomed or refocused.

Compared are the positions and directions of edges in small grey views of the frames as the camera saw them. (The
generator's pictures would not do: it draws the scene it knows, whatever it is given.) The median of the last
``VIEWS`` views is compared with a reference that follows slowly. Two measures make this independent of the light.
An edge's direction is taken with the angle doubled, so that an edge whose dark side turns light is still the same
edge; and its strength is divided by that of its surroundings. A view is compared only with views of its own kind
(colour, dark, or grey as in infrared), because nothing changes a fixed scene's picture as much as the switch
between them.

The view is divided into 6×4 blocks, and each block is looked for around its place. The scene has *moved* if blocks
are found elsewhere and agree on one shift and scale, or if hardly any block is found in its place. A lorry,
headlights or a burnt-in clock change some blocks only. The scene is *refocused* if the edges are in their places
but much softer or sharper than before. A change must last before it counts. Where the view has no structure (fog, a
black picture), nothing is decided.

On 15 public cameras it raised one false alarm in 172 simulated hours, and noticed all pans and zooms by day. See
"Scene" in benchmarks/NOTES.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

SceneChange = Literal["moved", "refocused"]
ViewKind = Literal["colour", "dark", "grey"]
Grey = NDArray[np.uint8]

# Width of a view in pixels.
WIDTH = 160
# Views whose median is compared. What stands in the scene for less than five of them does not show in it.
VIEWS = 9
# A view's share in the reference. With a view every 2 s the reference follows the sun with a lag of 200 s.
REFERENCE_RATE = 0.01
# A view is dark below this mean luma, and grey below this mean |Cb| + |Cr|.
DARK_LUMA, GREY_CHROMA = 87.0, 1.5

COLUMNS, ROWS = 6, 4
# Pixels around its place in which a block is looked for: 11 % of the width.
REACH = 18
# Grey levels a pixel below which a slope counts as flat.
FLAT_SLOPE = 0.75
# A block is compared if the mean square of its edge field, of at most 1, reaches this in both views.
LEAST_STRUCTURE = 0.05
# Correlation from which a block counts as found.
FOUND = 0.3
# If three quarters of the blocks correlate better than this in their places, none is looked for elsewhere.
SURELY_IN_PLACE = 0.5
# Blocks without which nothing is decided.
FEWEST_BLOCKS = 6

# The scene has moved if a smaller share of the blocks than this is found in their places.
LEAST_IN_PLACE = 0.2
# Or if at least this share of the found blocks agrees on a motion of at least so many pixels on average.
MOVED_AGREEMENT, MOVED_SHIFT = 0.45, 1.5
# The scene is refocused if its sharpness is outside these multiples of the reference's.
SOFT, SHARP = 0.55, 1.9
# If more than this share of the blocks is as sharp as ever (between these multiples), the lost blocks are only
# hidden.
SAME_SHARPNESS, SAME_SHARE = (0.8, 1.25), 0.05

# Looks in a row, and seconds, that a change must last. The seconds outlast a lorry and a shower.
LEAST_LOOKS = 4
LEAST_SECONDS: dict[SceneChange, float] = {"moved": 10.0, "refocused": 60.0}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a view compares with the reference.

    Attributes:
        blocks: number of blocks with structure in both.
        in_place: share of them that is found in its place, 0 to 1.
        found: number of blocks found anywhere within reach.
        agreement: share of the found blocks that agrees on one shift and scale, 0 to 1.
        shift: how far these move the blocks on average, in pixels of the view.
        sharpness: median sharpness of the blocks found in their places, as a multiple of the reference's. If some of
            these are as sharp as ever, the focus is not lost but something hides the blocks that are not found, and
            the hidden blocks count as 1.
    """

    blocks: int
    in_place: float = 1.0
    found: int = 0
    agreement: float = 0.0
    shift: float = 0.0
    sharpness: float = 1.0

    @property
    def change(self) -> SceneChange | None:
        """What this comparison alone says; None for no change, or if there is too little to tell."""
        if self.blocks < FEWEST_BLOCKS:
            return None
        agreed = self.found >= FEWEST_BLOCKS and self.agreement >= MOVED_AGREEMENT
        if self.in_place < LEAST_IN_PLACE or (agreed and self.shift >= MOVED_SHIFT):
            return "moved"
        if self.in_place * self.blocks >= FEWEST_BLOCKS and not SOFT <= self.sharpness <= SHARP:
            return "refocused"
        return None


@dataclass(slots=True, eq=False)
class _Known:
    """What is known of one kind of view.

    Attributes:
        views: the last views.
        reference: what they are compared with, float (h, w); None before there are ``VIEWS`` of them.
        count: how many views the reference was made of.
    """

    views: deque[Grey] = field(default_factory=lambda: deque(maxlen=VIEWS))
    reference: NDArray[np.float32] | None = None
    count: int = 0


class SceneWatch:
    """Watches one camera's scene. It takes at most 0.6 MB for pictures of 16:9."""

    def __init__(self) -> None:
        self._known: dict[ViewKind, _Known] = {}
        # The change that the last looks showed, the time of the first of them, and their number.
        self._suspected: SceneChange | None = None
        self._since, self._looks = 0.0, 0
        self.reset()

    def look(self, rgb: NDArray[np.uint8], *, seconds: float) -> SceneChange | None:
        """Look at a frame. Returns what has changed for good, if anything has.

        After a change the new scene is the one that later frames are compared with.

        Args:
            rgb: the frame as the camera saw it, (H, W, 3).
            seconds: its time on the camera's clock.
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
        recent = median(known.views)
        if known.reference is None:
            known.reference, known.count = recent.astype(np.float32), VIEWS
            return None
        comparison = compare(known.reference, recent)
        change = comparison.change
        if change is None:
            self._suspected = None
            if comparison.blocks >= FEWEST_BLOCKS:
                known.reference += REFERENCE_RATE * (recent - known.reference)
                known.count += 1
            return None
        if self._suspected != change:
            self._suspected, self._since, self._looks = change, seconds, 0
        self._looks += 1
        if self._looks < LEAST_LOOKS or seconds - self._since < LEAST_SECONDS[change]:
            return None
        self.reset()
        self._known[kind] = _Known(reference=recent.astype(np.float32), count=VIEWS)
        return change

    def reset(self) -> None:
        """Forget the scene, and learn the next one."""
        self._known = {"colour": _Known(), "dark": _Known(), "grey": _Known()}
        self._suspected = None

    def references(self) -> dict[str, tuple[Grey, int]]:
        """The references, as ``restore`` takes them: (h, w) uint8 by kind, and how many views each was made of."""
        return {
            kind: (np.rint(known.reference).astype(np.uint8), known.count)
            for kind, known in self._known.items()
            if known.reference is not None
        }

    def restore(self, references: Mapping[str, tuple[Grey, int]]) -> None:
        """Start with another watch's ``references``."""
        self.reset()
        for kind, known in self._known.items():
            if kind in references:
                picture, known.count = references[kind]
                known.reference = picture.astype(np.float32)


def small_view(rgb: NDArray[np.uint8]) -> tuple[ViewKind, Grey]:
    """The kind of a picture (H, W, 3) RGB, and its grey view (h, ``WIDTH``)."""
    height, width = rgb.shape[:2]
    step = max(1, width // (4 * WIDTH))  # four source pixels for each pixel of the view are enough to average
    size = (WIDTH, min(max(2 * ROWS, round(WIDTH * height / width)), 2 * WIDTH))
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), size, interpolation=cv2.INTER_AREA)
    luma, cr, cb = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb))
    chroma = sum(float(np.abs(part.astype(np.int16) - 128).mean()) for part in (cr, cb))
    kind: ViewKind = "dark" if luma.mean() < DARK_LUMA else "colour"
    return ("grey" if chroma < GREY_CHROMA else kind), luma


def median(views: Iterable[Grey]) -> Grey:
    """The median of an odd number of pictures of one size, pixel by pixel.

    The largest values rise to the end, as in a bubble sort, until the middle is known. For few pictures that takes a
    thirtieth of the time of ``np.partition``, which goes through them against the order in which they lie in memory.
    """
    rows = list(views)
    middle = len(rows) // 2
    for last in range(len(rows) - 1, middle - 1, -1):
        for i in range(last):
            rows[i], rows[i + 1] = np.minimum(rows[i], rows[i + 1]), np.maximum(rows[i], rows[i + 1])
    return rows[middle]


def compare(reference: NDArray[np.generic], view: NDArray[np.generic]) -> Comparison:
    """Compare two grey views (h, w) of one size."""
    before, now = edge_directions(reference), edge_directions(view)
    structured = np.minimum(structure(before), structure(now)) >= LEAST_STRUCTURE
    grid = [(int(row), int(column)) for row, column in zip(*np.nonzero(structured), strict=True)]
    if len(grid) < FEWEST_BLOCKS:
        return Comparison(len(grid))
    # A camera's jitter is up to a pixel.
    correlations = np.array([_search(before, now, row, column, 1)[0] for row, column in grid])
    found, agreement, shift = len(grid), 1.0, 0.0
    if np.partition(correlations, len(grid) // 4)[len(grid) // 4] < SURELY_IN_PLACE:
        searched = np.array([_search(before, now, row, column, REACH) for row, column in grid])
        elsewhere = searched[searched[:, 0] >= FOUND, 1:]
        found = len(elsewhere)
        agreement, shift = _common_motion(elsewhere) if found >= FEWEST_BLOCKS else (0.0, 0.0)
    in_place = correlations >= FOUND
    sharper = (_sharpness(view) / _sharpness(reference))[structured]
    as_before = in_place & (sharper >= SAME_SHARPNESS[0]) & (sharper <= SAME_SHARPNESS[1])
    hidden = as_before.mean() > SAME_SHARE
    counted = np.where(in_place, sharper, 1.0) if hidden else sharper[in_place]
    return Comparison(
        blocks=len(grid),
        in_place=float(in_place.mean()),
        found=found,
        agreement=agreement,
        shift=shift,
        sharpness=float(np.median(counted)) if len(counted) else 1.0,
    )


def _search(
    before: NDArray[np.float32], now: NDArray[np.float32], row: int, column: int, reach: int
) -> tuple[float, float, float, int, int]:
    """Where in an edge field ``before``, within ``reach`` pixels of its place, a block of ``now`` is found best.

    Returns the correlation, the block's middle (x, y) relative to that of the picture, and its displacement (x, y).
    """
    height, width = now.shape[:2]
    top, bottom = row * height // ROWS, (row + 1) * height // ROWS
    left, right = column * width // COLUMNS, (column + 1) * width // COLUMNS
    area_top, area_left = max(top - reach, 0), max(left - reach, 0)
    area = before[area_top : bottom + reach, area_left : right + reach]
    scores = cv2.matchTemplate(area, now[top:bottom, left:right], cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    middle = (left + right - width) / 2, (top + bottom - height) / 2
    return best, *middle, x - (left - area_left), y - (top - area_top)


def _gradients(grey: NDArray[np.generic], sigma: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slopes across and down, (h, w) each, in grey levels a pixel, after a blur by ``sigma`` pixels."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
    return cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8)


def edge_directions(grey: NDArray[np.generic]) -> NDArray[np.float32]:
    """The edge field, (h, w, 2): cosine and sine of twice the edge's angle, times its relative strength, 0 to 1."""
    x, y = _gradients(grey, 1.0)
    xx, yy = x * x, y * y
    norm = xx + yy + FLAT_SLOPE**2 + 0.5 * cv2.blur(xx + yy, (15, 15))
    return np.asarray(cv2.merge(((xx - yy) / norm, 2 * x * y / norm)))


def structure(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean square of the edge field in each block, (ROWS, COLUMNS)."""
    cosine, sine = cv2.split(directions)
    square = cosine * cosine + sine * sine
    return np.asarray(cv2.resize(square, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA))


def _common_motion(found: NDArray[np.float64]) -> tuple[float, float]:
    """The shift and scale that most blocks agree on.

    Args:
        found: (n, 4): each block's middle (x, y) relative to that of the picture, and its displacement (x, y).

    Returns:
        The share of the blocks that agree, and how far the motion moves them on average, in pixels.
    """
    middle, moved = found[:, :2], found[:, 2:]
    scales = np.linspace(-0.2, 0.2, 21)
    # (scales, n, 2): the shift that remains of each block's displacement under each scale.
    shifts = moved - scales[:, None, None] * middle
    near = np.abs(shifts[:, :, None] - shifts[:, None]).max(axis=3) <= 1.0
    # Of motions with equally many blocks, the one that scales least is taken.
    votes = near.sum(axis=2) - 0.01 * np.abs(scales)[:, None]
    scale, block = divmod(int(votes.argmax()), len(found))
    members = near[scale, block]
    motion = shifts[scale, members].mean(axis=0) + scales[scale] * middle
    return float(members.mean()), float(np.hypot(*motion.T).mean())


def _sharpness(grey: NDArray[np.generic]) -> NDArray[np.float32]:
    """Power of a block's fine gradients as a multiple of its coarse ones', (ROWS, COLUMNS); contrast cancels out."""

    def power(sigma: float) -> NDArray[np.float32]:
        x, y = _gradients(grey, sigma)
        square = x * x + y * y
        return np.asarray(cv2.resize(square, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA))

    return np.asarray((power(0.7) + 1e-3) / (power(2.5) + 1e-3))
