"""What is wrong with a scene's footage, found before hours are spent on it.

Four things are looked at: enough pictures; a camera that stands still; nights that show what the days show; and a
background in which something stands that is not there all the time. Each finding says what was measured and what to
do. It is a *refusal* where training would teach the model something wrong, a *warning* where it would only teach
little, or where the pictures do not allow a judgement.

Alignment compares where edges are and which way they run, since that is what day and night share: the direction with
its angle doubled (an edge whose dark side turns light is the same edge), the strength divided by that of its
surroundings (a lamp counts no more than a kerb). Measured on fifteen public cameras, day median against night
median: the correlation is 0.14 to 0.63 at shift 0 for one camera (no shift in any), at most 0.06 for most pairs of
two. None of the fifteen is refused. Nights shifted by 1.5 to 20 % of the width are refused in 44 of 45 cases, those
zoomed by 6 % in 11 of 15, another camera's in 185 of 210 (the other 25 are warned of).

Lorries of 2.6 % of the frame, put anywhere in the lower three quarters of twelve clips of 10 s for 55 to 70 % of the
time: 81 of 108 refused (the rest stood behind dense traffic, or on something of their own colour). One clip of the
twelve as it is brings a warning, none a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene import Image, Scene, temporal_median

MIN_DAY, MIN_NIGHT = 5, 4  # refused below; one camera in the fifteen has as few
FEW_DAY, FEW_NIGHT = 50, 10  # warned of below

WIDTH = 192  # pixels of the views compared
LOOKED_AT = 24  # day pictures whose alignment is measured, spread over the footage
SLOPE = 0.75  # grey levels a pixel; what is flatter counts as flat
STRUCTURE, DIM = 0.05, 0.10  # mean square of the edges, at most 1: nothing to judge by below, doubtful below
FOUND, ANOTHER = 0.10, 0.07  # correlation: the same scene from here, another one below
DAY_ANOTHER = (
    0.15  # two day pictures of one camera match by 0.23 and more, those of two by 0.10 (labels in both)
)
CLEARLY = 1.2  # how much better the scene must fit at another place to count as moved
SHIFT = 0.01  # share of the width; more smears what is learnt
ODD = 0.1  # share of the day pictures that may be of another view

OVER_TIME = 101  # day pictures whose pixels are followed
SAME = 16  # grey levels, after blurring and evening out the brightness
STANDS, GONE = (
    0.8,
    0.1,
)  # share of the time a pixel is as in x_ref while the thing is there, and when it is not
SMALL, LARGE = 0.004, 0.01  # share of the frame: a car in the middle distance, a van
CHANGING = 0.15  # share of the frame that steps: more is the light
CONTOUR = 1.3  # edges along a thing's outline while it is there, over those when it is not
ENOUGH_OVER_TIME = 20  # pictures to be sure that something stood there


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        refuse: whether training on it would be a mistake.
        text: one line: what, the measured value, the way out.
    """

    refuse: bool
    text: str


class Offset(NamedTuple):
    """Where one view is found in another.

    Attributes:
        x, y: displacement as a share of the width; to the right and down are positive.
        correlation: there, at most 1.
        in_place: correlation without displacement.
    """

    x: float
    y: float
    correlation: float
    in_place: float

    @property
    def moved(self) -> bool:
        """Whether the scene is clearly there, and clearly elsewhere."""
        return (
            self.correlation >= FOUND
            and self.correlation >= CLEARLY * self.in_place
            and float(np.hypot(self.x, self.y)) > SHIFT
        )


def check_scene(scene: Scene, *, learns_nights: bool) -> list[Finding]:
    """Everything found, refusals first.

    Args:
        scene: at least one day and one night picture.
        learns_nights: whether the recipe learns from the night pictures.
    """
    findings = _counts(scene, learns_nights)
    # Fewer are no sequence to judge a camera by, and are refused as such.
    if len(scene.day) >= MIN_DAY:
        findings += _still_camera(scene)
        if not any(f.refuse for f in findings):
            findings += _nights(scene) + _standing(scene)
    return sorted(findings, key=lambda f: not f.refuse)


def _counts(scene: Scene, learns_nights: bool) -> list[Finding]:
    found = []
    for what, frames, least, few, needed in (
        ("day", scene.day + scene.held_back, MIN_DAY, FEW_DAY, True),
        ("night", scene.night, MIN_NIGHT, FEW_NIGHT, learns_nights),
    ):
        different = len({frame.tobytes() for frame in frames})
        pictures = f"{different} different {what} picture{'s' if different > 1 else ''}"
        if different < least and needed:
            found.append(Finding(True, f"{pictures}: at least {least} are needed; collect more"))
        elif different < few:
            advice = (
                "the model will know little of what moves there" if what == "day" else "real nights differ"
            )
            found.append(Finding(False, f"{pictures} are few, {few} or more are better: {advice}"))
    return found


# --- alignment ----------------------------------------------------------------------------------------------


def edge_field(rgb: Image) -> NDArray[np.complex64]:
    """Edges of (H, W, 3) as (h, ``WIDTH``) complex: as long as they are strong, at most 1, at twice their angle."""
    height, width = rgb.shape[:2]
    size = (WIDTH, max(16, round(WIDTH * height / width)))
    grey = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    x, y = _gradients(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0))
    xx, yy = x * x, y * y
    norm = xx + yy + SLOPE**2 + 0.5 * cv2.blur(xx + yy, (15, 15))
    field = ((xx - yy) + 2j * x * y) / norm
    field[:2] = field[-2:] = 0
    field[:, :2] = field[:, -2:] = 0
    return field.astype(np.complex64)


def same_edges(a: Image, b: Image) -> NDArray[np.float32]:
    """How far two pictures, (H, W, 3) each, have the same edges around a pixel: correlation, float32 (H, W).

    Around is some 3 % of the width. 0 where either has none.
    """
    one, two = edge_field(a), edge_field(b)

    def around(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.GaussianBlur(x.astype(np.float32), (0, 0), WIDTH / 32).astype(np.float32)

    alike = around((one * two.conj()).real)
    strong = around(np.abs(one) ** 2) * around(np.abs(two) ** 2)
    correlation = alike / np.sqrt(strong + 1e-6)
    return np.asarray(cv2.resize(correlation, a.shape[1::-1]), np.float32)


def offset(reference: NDArray[np.complex64], view: NDArray[np.complex64]) -> Offset:
    """Where ``view`` is found in ``reference``, both edge fields of one size; looked for within a quarter of it."""
    mean = view.mean()
    surface = _correlation(reference - reference.mean(), view - mean)
    surface /= float(np.linalg.norm(reference) * np.linalg.norm(view)) + 1e-9
    y, x, top = _peak(surface)
    middle_y, middle_x = surface.shape[0] // 2, surface.shape[1] // 2
    in_place = float(surface[middle_y - 1 : middle_y + 2, middle_x - 1 : middle_x + 2].max())
    return Offset(-x / WIDTH, -y / WIDTH, top, in_place)


def warped(reference: NDArray[np.complex64], view: NDArray[np.complex64]) -> float | None:
    """How far blocks of ``view`` lie from their places: the median as a share of the width.

    None if too few are found. A zoom or a turn moves every part elsewhere and hence nothing as a whole.
    """
    height, width = view.shape
    rows, columns = 3, 4
    distances = []
    level = float((np.abs(reference) ** 2).mean())
    for row, column in np.ndindex(rows, columns):
        block = np.zeros_like(view)
        part = np.s_[
            row * height // rows : (row + 1) * height // rows,
            column * width // columns : (column + 1) * width // columns,
        ]
        block[part] = view[part]
        energy = float((np.abs(block[part]) ** 2).sum())
        if energy < 0.03 * block[part].size:
            continue
        surface = _correlation(reference, block) / np.sqrt(energy * level * block[part].size)
        y, x, top = _peak(surface)
        around = np.ones(surface.shape, bool)
        at_y, at_x = y + surface.shape[0] // 2, x + surface.shape[1] // 2
        around[max(at_y - 6, 0) : at_y + 7, max(at_x - 6, 0) : at_x + 7] = False
        if top > 0.15 and top > 1.3 * surface[around].max():
            distances.append(float(np.hypot(x, y)) / WIDTH)
    return float(np.median(distances)) if len(distances) >= 3 else None


def _correlation(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Cross-correlation without wrapping round, displacements of at most a quarter of the size."""
    height, width = a.shape
    size = (cv2.getOptimalDFTSize(2 * height), cv2.getOptimalDFTSize(2 * width))
    full = np.fft.ifft2(np.fft.fft2(a, size) * np.conj(np.fft.fft2(b, size))).real
    reach_y, reach_x = height // 4, width // 4
    return np.asarray(np.roll(full, (reach_y, reach_x), (0, 1))[: 2 * reach_y + 1, : 2 * reach_x + 1])


def _peak(surface: NDArray[np.float64]) -> tuple[int, int, float]:
    y, x = np.unravel_index(int(surface.argmax()), surface.shape)
    return int(y) - surface.shape[0] // 2, int(x) - surface.shape[1] // 2, float(surface[y, x])


def _energy(field: NDArray[np.complex64]) -> float:
    return float((np.abs(field) ** 2).mean())


def _gradients(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)


def _spread(frames: list[Image], count: int) -> list[Image]:
    picks = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return [frames[i] for i in picks]


def _still_camera(scene: Scene) -> list[Finding]:
    """Day pictures against the one most others agree with: the median of a moved camera shows two scenes."""
    fields = [edge_field(frame) for frame in _spread(scene.day, LOOKED_AT)]
    clear = [f for f in fields if _energy(f) >= STRUCTURE]
    if len(clear) < max(2, len(fields) / 2):
        return [
            Finding(
                False,
                f"only {len(clear)} of {len(fields)} day pictures show edges: fog, or an empty view? "
                "Whether the camera stands still cannot be judged",
            )
        ]
    best: list[tuple[Offset, bool]] = []
    for candidate in clear[:: max(1, len(clear) // 6)]:
        offsets = [offset(candidate, f) for f in clear]
        # A changed light leaves less in common than a changed view takes away: only a plain misfit counts.
        odd = [o.moved or o.correlation < DAY_ANOTHER for o in offsets]
        if not best or sum(odd) < sum(b for _, b in best):
            best = list(zip(offsets, odd, strict=True))
    odd_ones = [o for o, odd in best if odd]
    found = []
    if odd_ones:
        moved = [float(np.hypot(o.x, o.y)) for o in odd_ones if o.moved]
        how = (
            f"shifted by up to {100 * max(moved):.1f} % of the width (allowed: {100 * SHIFT:g} %)"
            if moved
            else f"of another view (they match by {max(o.correlation for o in odd_ones):.2f} or less, "
            f"allowed: {DAY_ANOTHER:g})"
        )
        refuse = len(odd_ones) >= 2 and len(odd_ones) > ODD * len(best)
        found.append(
            Finding(
                refuse,
                f"the camera moved: {len(odd_ones)} of {len(best)} day pictures looked at are {how}; "
                "keep those of one position only, or fix the camera",
            )
        )
    if not any(f.refuse for f in found):
        middle = edge_field(temporal_median(_spread(scene.day, LOOKED_AT)))
        at = offset(middle, edge_field(scene.background))
        if at.moved or at.correlation < DAY_ANOTHER:
            found.append(
                Finding(
                    True,
                    f"background.png does not fit the day pictures (shifted by {100 * np.hypot(at.x, at.y):.1f} % of "
                    f"the width, match {at.correlation:.2f}); make it anew, or delete it",
                )
            )
    return found


def _nights(scene: Scene) -> list[Finding]:
    """The night median against x_ref."""
    day, night = edge_field(scene.background), edge_field(temporal_median(scene.night))
    way_out = "use nights of the same camera in the same position"
    signal = min(_energy(day), _energy(night))
    if signal < STRUCTURE:
        return [
            Finding(
                False,
                f"the {'nights' if _energy(night) < STRUCTURE else 'days'} show too few edges "
                f"({signal:.3f}, {STRUCTURE:g} are needed) to tell whether they fit the others: look yourself",
            )
        ]
    at = offset(day, night)
    if at.moved:
        return [
            Finding(
                True,
                f"day and night are not aligned: the nights lie {100 * abs(at.x):.1f} % of the width to the "
                f"{'right' if at.x > 0 else 'left'} and {100 * abs(at.y):.1f} % {'down' if at.y > 0 else 'up'} "
                f"(allowed: {100 * SHIFT:g} %); {way_out}",
            )
        ]
    if at.correlation >= FOUND / 2 and (away := warped(day, night)) is not None and away > SHIFT:
        return [
            Finding(
                True,
                f"day and night are not aligned: parts of the nights lie {100 * away:.1f} % of the width from their "
                f"places (allowed: {100 * SHIFT:g} %), as after a zoom or a turn; {way_out}",
            )
        ]
    if at.correlation >= FOUND:
        return []
    match = f"their edges match by {at.correlation:.2f}, those of one camera by {FOUND:g} and more"
    if at.correlation < ANOTHER and signal >= DIM:
        return [Finding(True, f"the nights do not show what the days show: {match}; {way_out}")]
    return [
        Finding(False, f"the nights are too dark to tell whether they are aligned ({match}): look yourself")
    ]


# --- a parked lorry -----------------------------------------------------------------------------------------


def _standing(scene: Scene) -> list[Finding]:
    """Things that stand in x_ref but come or go within the footage.

    Their pixels are as in x_ref for one stretch of time and never outside it: a road that traffic hides comes back
    between the vehicles. What came late looks alike, only that x_ref then shows the ground; which of the two x_ref
    shows is told by the thing's outline, whose edges are there only as long as the thing is.
    """
    frames = _spread(scene.day, OVER_TIME)
    count = len(frames)
    if count < 10:
        return []
    reference = _small(scene.background)
    views = np.stack([_small(frame) for frame in frames])
    luma = reference.mean(axis=2) + 1
    for view in views:
        view *= np.clip(np.median(luma / (view.mean(axis=2) + 1)), 0.5, 2)
    same = np.abs(views - reference).max(axis=3) <= SAME
    first, end = _longest(same)
    length = end - first
    time = np.arange(count)[:, None, None]
    inside = (time >= first) & (time < end)
    there = (same & inside).sum(axis=0) / np.maximum(length, 1)
    after = (same & ~inside).sum(axis=0) / np.maximum(count - length, 1)
    steps = (
        (count - length >= max(3, 0.1 * count))
        & (length >= 0.3 * count)
        & (there >= STANDS)
        & (after <= GONE)
    )
    changing = float(steps.mean())
    if changing > CHANGING:  # clouds, the sun: everything comes and goes
        return []
    things = _things(steps, first, end, views, same)
    if not things:
        return []
    box, share, part = max(things, key=lambda thing: thing[1])
    scale = scene.background.shape[1] / WIDTH
    left, top, width, height = (round(v * scale) for v in box)
    text = (
        f"something stands in the background that is there in {100 * part:.0f} % of the day pictures only: "
        f"{width}×{height} pixels at x={left}, y={top}, {100 * share:.1f} % of the frame"
        f"{f', and {len(things) - 1} more' if len(things) > 1 else ''}; "
        "give more day footage without it, or a background.png of the empty scene"
    )
    sure = share >= LARGE and changing <= CHANGING and count >= ENOUGH_OVER_TIME
    return [
        Finding(
            sure,
            text if sure else text + " (not sure: it is small, the light changes, or the pictures are few)",
        )
    ]


def _things(
    steps: NDArray[np.bool_],
    first: NDArray[np.int_],
    end: NDArray[np.int_],
    views: NDArray[np.float32],
    same: NDArray[np.bool_],
) -> list[tuple[tuple[int, int, int, int], float, float]]:
    """Regions that come and go as one: (left, top, width, height), share of the frame, share of the time."""
    found = []
    count = len(views)
    slack = max(1, count // 50)
    left = steps.copy()
    square = np.ones((3, 3), np.uint8)
    for _ in range(8):
        # The stretch of time that most pixels share: traffic passing beside a lorry steps at other times.
        moments, votes = np.unique(first[left] * (count + 1) + end[left], return_counts=True)
        if not len(moments) or votes.max() < SMALL * steps.size / 8:
            break
        start, stop = divmod(int(moments[votes.argmax()]), count + 1)
        members = left & (np.abs(first - start) <= slack) & (np.abs(end - stop) <= slack)
        left &= ~members
        mask = cv2.morphologyEx(members.astype(np.uint8), cv2.MORPH_CLOSE, square)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, square)
        labels, regions, stats, _ = cv2.connectedComponentsWithStats(mask)
        for label in range(1, labels):
            area = int(stats[label, cv2.CC_STAT_AREA])
            if area < SMALL * steps.size:
                continue
            region = (regions == label).astype(np.uint8)
            part = same[:, region > 0].mean(axis=1)
            present = part > 0.5
            if present.all() or not present.any() or ((part > 0.2) & (part < 0.8)).mean() > 0.1:
                continue
            with_it, without = (np.median(views[present == state], axis=0) for state in (True, False))
            outline = (cv2.dilate(region, np.ones((5, 5), np.uint8)) - cv2.erode(region, square)) > 0
            difference = (_steepness(with_it) - _steepness(without))[outline]
            own, other = difference.clip(0).mean(), (-difference).clip(0).mean()
            if own > CONTOUR * other and own > 1:
                x, y, w, h = (int(v) for v in stats[label, :4])
                found.append(((x, y, w, h), area / steps.size, float(present.mean())))
    return found


def _longest(same: NDArray[np.bool_]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The stretch of time in which a pixel is most clearly as in x_ref: (T, h, w) → first and end (h, w).

    The largest sum of +½ for same and -½ for not (Kadane's algorithm).
    """
    shape = same.shape[1:]
    current, best = np.zeros(shape), np.zeros(shape)
    began, first, end = (np.zeros(shape, int) for _ in range(3))
    for t, now in enumerate(same):
        anew = current <= 0
        current = np.where(anew, 0, current) + np.where(now, 0.5, -0.5)
        began = np.where(anew, t, began)
        better = current >= best
        best = np.where(better, current, best)
        first, end = np.where(better, began, first), np.where(better, t + 1, end)
    return first, end


def _small(rgb: Image) -> NDArray[np.float32]:
    height, width = rgb.shape[:2]
    size = (WIDTH, max(16, round(WIDTH * height / width)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.7), np.float32)


def _steepness(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hypot(*_gradients(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY)))
