"""What lamps do to the colours of a picture: whether it has hues of its own, and whether lamps colour it.

By day things that lie beside each other have hues of their own, and one white light is on all of them. An infra-red
picture may have a tint that differs from place to place, and one lamp of a colour, but little more. Under lamps like
sodium's all is of one hue, the more so the brighter it is; under two kinds of lamps one side is warmer than the
other. A sky colours whole rows, and leaves no row warmer on one side.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Luma below which a cell's tint cannot be told from rounding.
DARKEST = 16.0
# Luma at which tints are told, and the most levels of chroma that a tint has there.
MIDDLE, MOST_TINT = 128.0, 60.0
# Cells across the neighbourhood whose median is the tint of a place.
AROUND = 5
# Share of the cells that variety is measured on: letters, logos and lamps are among the others.
MOST = 65
# Cells across the places that are compared sideways.
PLACE = 9
# Share of the cells that are warmer, and share of those that are colder, than what counts of a row.
ENDS = (10, 90)

Cells = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hues:
    """The hues of a picture, in levels of chroma.

    Attributes:
        variety: how far most cells are from the tint of what lies around them: 0 (one smooth tint) and up.
        cast: how strong the tint of the whole picture is, times the correlation of colour with luma. High where one
            coloured light is on everything, around 0 for things of many colours, and below for coloured shade.
        lamps: how much warmer one side of the rows is than the other, at a luma of 128.
    """

    variety: float
    cast: float
    lamps: float


def hues(luma: Cells, cb: Cells, cr: Cells, known: NDArray[np.bool_]) -> Hues:
    """The hues of a picture in cells.

    Args:
        luma, cb, cr: means of the cells of the upright picture, (h, w) each, 0 to 255; luma of full range.
        known: which cells are not overexposed, (h, w); at least one.
    """
    gain = MIDDLE / np.maximum(luma, DARKEST)
    cb, cr = cb - 128, cr - 128
    tints = [np.clip(part * gain, -MOST_TINT, MOST_TINT) for part in (cb, cr)]
    away = np.hypot(*(tint - cv2.medianBlur(cv2.medianBlur(tint, AROUND), AROUND) for tint in tints))
    # Noise is not taken for colour where it is dark: there a level of chroma is much of a tint.
    away *= np.minimum(luma, MIDDLE) / MIDDLE
    tint = float(np.hypot(*np.median(np.stack(tints), axis=(1, 2))))
    warmth, light = (cv2.blur(part, (PLACE, PLACE)) for part in ((cr - cb) * 0.5**0.5, luma))
    warmth *= MIDDLE / np.maximum(light, DARKEST)
    cold, warm = np.percentile(warmth - np.median(warmth, axis=1, keepdims=True), ENDS)
    saturation = np.hypot(cb, cr)[known]
    return Hues(
        variety=float(np.percentile(away[known], MOST)),
        cast=tint * _correlation(saturation, luma[known]),
        lamps=float(warm - cold),
    )


def _correlation(one: Cells, other: Cells) -> float:
    """Pearson's; 0 where either does not vary."""
    a, b = one - one.mean(), other - other.mean()
    both = float((a * a).sum() * (b * b).sum())
    return float((a * b).sum()) / both**0.5 if both > 0 else 0.0
