"""One background in the light of another: what changed smoothly is light, and is taken over; what has edges is not.

Exposure, clouds, dusk and lamps multiply a picture by something that changes slowly across it. A car that stands
there has edges of its own. So the ratio of two backgrounds is taken coarsely, and only where their edges are alike;
where they are not, the ratio of the surroundings is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

# Width of the pictures that are compared.
WIDTH = 160
# Shares of the width over which light is smooth, over which edges are compared, and what an edge is finer than.
SMOOTH, NEAR, EDGE = 1 / 20, 1 / 27, 1 / 54
# Grey levels that edges may differ by in any light, and the share of their own strength that they may differ by.
NOISE, ALIKE = 2.0, 0.3
# Limits of the ratio.
DARKEST, BRIGHTEST = 1 / 4, 4.0
# A ratio that is nearer to another one than this everywhere is the same light.
SAME = 0.03
# A picture is relit over this many calls: 3 ms each at 1080p.
STRIPS = 16

Gain = NDArray[np.float32]
"""What to multiply a picture by, (h, w, 3), coarse."""


def light_of(recent: NDArray[np.uint8], lasting: NDArray[np.uint8]) -> Gain:
    """What ``lasting`` is to be multiplied by to stand in the light of ``recent``, (H, W, 3) uint8 RGB each."""
    small = [_small(picture) for picture in (recent, lasting)]
    smooth, near, edge = (share * small[0].shape[1] for share in (SMOOTH, NEAR, EDGE))
    now, before = (cv2.GaussianBlur(picture, (0, 0), smooth) + 1 for picture in small)
    gain = np.log(np.clip(now / before, DARKEST, BRIGHTEST))
    edges = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in small]
    edges = [grey - cv2.GaussianBlur(grey, (0, 0), edge) for grey in edges]
    edges[1] = edges[1] * np.exp(gain.mean(axis=2))
    differing = cv2.GaussianBlur(np.square(edges[0] - edges[1]), (0, 0), near)
    strength = cv2.GaussianBlur(np.maximum(*np.square(edges)), (0, 0), near)
    ratio = differing / (NOISE**2 + (ALIKE**2) * strength)
    weight = (1 / (1 + np.square(ratio)) + 1e-4)[..., None]
    around = cv2.GaussianBlur(gain * weight, (0, 0), smooth)
    total = cv2.GaussianBlur(weight, (0, 0), smooth)[..., None]
    return np.asarray(np.exp(around / total), np.float32)


def same_light(one: Gain | None, other: Gain | None) -> bool:
    """Whether two gains are alike; None is that of a picture as it is."""
    if one is None and other is None:
        return True
    ratio = (1.0 if one is None else one) / (1.0 if other is None else other)
    return bool(np.abs(ratio - 1).max() < SAME)


def relight(picture: NDArray[np.uint8], gain: Gain, into: NDArray[np.uint8]) -> Iterator[None]:
    """Write ``picture`` (H, W, 3) uint8 times ``gain`` to ``into``, a strip of rows at a step."""
    height, width = picture.shape[:2]
    down, across = gain.shape[0] / height, gain.shape[1] / width
    step = -(-height // STRIPS)
    for top in range(0, height, step):
        rows = picture[top : top + step]
        place = np.array([[across, 0, across / 2 - 0.5], [0, down, (top + 0.5) * down - 0.5]])
        factor = cv2.warpAffine(
            gain,
            place,
            (width, len(rows)),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cv2.multiply(rows, factor, dst=into[top : top + step], dtype=cv2.CV_8U)
        yield


def _small(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = picture.shape[:2]
    size = (min(WIDTH, width), max(1, round(min(WIDTH, width) * height / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
