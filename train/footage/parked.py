"""Whether something is part of the background that is not there all the time, such as a parked lorry."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .edges import WIDTH, gradients
from .finding import Finding
from .scene import Image, Scene, spread

# Day pictures whose pixels are followed over time.
FOLLOWED_DAYS = 101
# Grey levels, after blurring and evening out the brightness, within which a pixel counts as the same as x_ref.
TOLERANCE = 16
# Share of the time that a pixel is as in x_ref: at least while the thing is there, and at most when it is not.
PRESENT, ABSENT = 0.8, 0.1
# Share of the frame: a car in the middle distance, a van.
SMALL, LARGE = 0.004, 0.01
# Share of the frame that changes once for a long time; more than this is the light.
CHANGING = 0.15
# Strength of the edges along a thing's outline while it is there, over their strength when it is not.
CONTOUR = 1.3
# Pictures that are needed to be sure.
ENOUGH_DAYS = 20


def check_parked(scene: Scene) -> list[Finding]:
    """Find things that x_ref shows but that come or go within the footage.

    Their pixels are as in x_ref for one stretch of time and never outside it; a road that traffic hides, in contrast,
    can be seen again between the vehicles. A thing that came late gives the same course over time, only that x_ref
    then shows the ground. The thing's outline decides between the two: its edges are there only as long as the thing.
    """
    frames = spread(scene.day, FOLLOWED_DAYS)
    count = len(frames)
    if count < 10:
        return []
    reference = _small(scene.background)
    views = np.stack([_small(frame) for frame in frames])
    luma = reference.mean(axis=2) + 1
    for view in views:
        view *= np.clip(np.median(luma / (view.mean(axis=2) + 1)), 0.5, 2)
    same = np.abs(views - reference).max(axis=3) <= TOLERANCE
    first, end = _longest(same)
    length = end - first
    time = np.arange(count)[:, None, None]
    inside = (time >= first) & (time < end)
    there = (same & inside).sum(axis=0) / np.maximum(length, 1)
    after = (same & ~inside).sum(axis=0) / np.maximum(count - length, 1)
    steps = (
        (count - length >= max(3, 0.1 * count))
        & (length >= 0.3 * count)
        & (there >= PRESENT)
        & (after <= ABSENT)
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
    sure = share >= LARGE and changing <= CHANGING and count >= ENOUGH_DAYS
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
    """Regions that come and go as one thing: (left, top, width, height), share of the frame, share of the time."""
    found = []
    count = len(views)
    slack = max(1, count // 50)
    left = steps.copy()
    square = np.ones((3, 3), np.uint8)
    for _ in range(8):
        # The stretch of time that most pixels share: traffic that passes near a lorry changes pixels at other times.
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
    """The stretch of time in which a pixel is most clearly as in x_ref: (T, h, w) → first and end, (h, w) each.

    It is the stretch with the largest sum of +½ for same and -½ for different (Kadane's algorithm).
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
    return np.hypot(*gradients(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY)))
