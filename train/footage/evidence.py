"""What is in a night picture and not in the camera's own background by night (n_ref), in units of the sensor's noise.

A fixed camera's n_ref holds its lamps and its unlit places, so that what differs from it is there tonight, whatever a
generator makes of it. Two other causes are taken out. Light that changes over a wide area (a headlight's haze, the
exposure) is allowed for by lighting n_ref alike. The sensor's noise is estimated from the picture itself, so that a
dark walker on a dark road counts and the flicker of a bright wall does not.

This is the reference in NumPy. What runs within an engine is compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene import Image, temporal_median

Plane = NDArray[np.float32]
"""float32 (H, W)."""

# Weights of red, green and blue in luma (BT.601).
LUMA = (0.299, 0.587, 0.114)
# Standard deviation of the blurs that tell light from things, as a share of the picture's height: of the ratio
# between day and night, which follows lamps, and of tonight's light, which must be wider than any vehicle.
RATIO_BLUR, LIGHT_BLUR = 1 / 24, 1 / 6
# Grey levels added to both sides of a ratio: a black pixel says nothing of the light.
BLACK = 2.0
# How much brighter or darker than n_ref a place may be lit and still be taken for the same place.
LIGHT = (0.5, 2.0)
# Times that a relit picture may be brighter than its night; beyond it there is little but noise.
MOST_GAIN = 12.0
# Bins of luma that the noise is estimated in, and pixels that one needs.
BINS, BIN_PIXELS = 16, 200
# The median of the square of a standard normal variable.
MEDIAN_SQUARE = 0.4549
# Least noise, grey levels: that of rounding, of the picture and of n_ref.
LEAST_NOISE = 1.0
# Fewer nights have no background: what stands through one of them would be in it.
LEAST_NIGHTS = 5
# Standard deviations from which on evidence is strong, after a blur of one pixel. Much of what differs between nights
# is neither noise nor a thing: at 4 half of a webcam's night would count, at 9 a third of what stands out is lost.
STRONG = 6.0
# What counts as an edge: the blur that it stands out of, pixels, and by how many standard deviations; and how far
# from edges a thing may be flat, a share of the height.
FINE, STRUCTURE, REACH = 3.0, 2.5, 1 / 40
_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6


@dataclass(frozen=True, slots=True)
class Noise:
    """The camera's noise as a difference to n_ref shows it: its variance is ``read``² + ``shot`` · luma.

    Attributes:
        read: standard deviation in the dark, grey levels.
        shot: variance added by each grey level of luma.
    """

    read: float
    shot: float

    def at(self, luma: Plane) -> Plane:
        """Its standard deviation at places of such luma, grey levels."""
        return np.asarray(np.sqrt(np.float32(self.read**2) + np.float32(self.shot) * luma), np.float32)


def night_background(nights: list[Image]) -> Image | None:
    """n_ref, the median of the nights; None where there are fewer than ``LEAST_NIGHTS``."""
    return temporal_median(nights) if len(nights) >= LEAST_NIGHTS else None


def luma(picture: Image) -> Plane:
    """uint8 RGB (H, W, 3) → float32 (H, W), 0 to 255."""
    return np.asarray(picture.astype(np.float32) @ np.asarray(LUMA, np.float32), np.float32)


def relit(night: Image, x_ref: Image, n_ref: Image) -> Image:
    """The night in the day's light: night · blur(x_ref) / blur(n_ref), channel by channel, uint8 RGB (H, W, 3).

    All three are of one camera and one size. It shows tonight's things with no network at all. Glare stays glare, and
    a lamp that n_ref does not have comes out as a patch.
    """
    day, dark = (_blurred(picture.astype(np.float32), RATIO_BLUR) + BLACK for picture in (x_ref, n_ref))
    lit = night.astype(np.float32) * np.minimum(day / dark, MOST_GAIN)
    return np.asarray(np.rint(lit.clip(0, 255)), np.uint8)


def difference(night: Image, n_ref: Image) -> Plane:
    """min(\\|night - n_ref\\|, \\|night - n_ref lit as tonight\\|) in luma: float32 (H, W), grey levels."""
    tonight, known = luma(night), luma(n_ref)
    light = (_blurred(tonight, LIGHT_BLUR) + BLACK) / (_blurred(known, LIGHT_BLUR) + BLACK)
    alike = known * light.clip(*LIGHT)
    return np.asarray(np.minimum(np.abs(tonight - known), np.abs(tonight - alike)), np.float32)


def estimate_noise(night: Image, n_ref: Image) -> Noise:
    """The noise of a night, from its difference to n_ref as a filter sees it that is blind to anything smooth.

    The filter is Immerkær's (1996), which keeps the variance of white noise. Light that has changed since n_ref is no
    noise: the plain difference, of which it is a part, gives ten times the variance where lamps differ. In each bin
    of luma the median of the squares stands for the variance, so that things on up to half of a bin's pixels do not
    count; read noise and shot noise are a line through the bins (the median of the slopes between them, Theil and
    Sen) that is nowhere negative.
    """
    known = luma(n_ref)
    apart = cv2.filter2D(luma(night) - known, -1, _IMMERKAER, borderType=cv2.BORDER_REFLECT)
    order = np.argsort(known, axis=None)
    bins = max(1, min(BINS, order.size // BIN_PIXELS))
    level, variance = (np.empty(bins) for _ in range(2))
    for i, pixels in enumerate(np.array_split(order, bins)):
        level[i] = known.flat[pixels].mean()
        variance[i] = np.median(np.square(apart.flat[pixels])) / MEDIAN_SQUARE
    first, second = np.triu_indices(bins, 1)
    steps = level[second] - level[first]
    far = steps > 1
    rise = (variance[second] - variance[first])[far] / steps[far]
    shot = max(0.0, float(np.median(rise))) if rise.size else 0.0
    read = float(np.median(variance - shot * level))
    return Noise(float(np.sqrt(max(read, LEAST_NOISE**2))), shot)


def wavering(apart: Plane, known: Plane) -> Noise:
    """What a difference is where nothing is there, in the form of ``Noise``.

    Compression takes a sensor's noise away, and what is left between two nights are leaves, water and light. The
    square is fitted to luma by least squares, over the pixels where it is not far above what is usual, which leaves
    out what moves.

    Args:
        apart: a difference to n_ref, grey levels.
        known: n_ref's luma.
    """
    square = np.square(cv2.blur(apart, (3, 3))).ravel()
    level = known.ravel()
    keep = np.ones(square.size, bool)
    for _ in range(3):
        keep = square <= 6 * square[keep].mean()
    middle, mean = float(level[keep].mean()), float(square[keep].mean())
    spread = float(np.square(level[keep] - middle).mean())
    shot = float(((level[keep] - middle) * square[keep]).mean()) / spread if spread > 1 else 0.0
    return Noise(float(np.sqrt(max(mean - max(shot, 0.0) * middle, 0.0))), max(shot, 0.0))


def evidence(night: Image, n_ref: Image) -> Plane:
    """How sure it is that something is there which n_ref does not have: float32 (H, W), in standard deviations.

    These are of the noise, or of what usually differs between two nights if that is more.
    """
    apart, known = difference(night, n_ref), luma(n_ref)
    usual = np.maximum(estimate_noise(night, n_ref).at(known), wavering(apart, known).at(known))
    return np.asarray(apart / usual, np.float32)


def strong(found: Plane, *, least: float = STRONG) -> NDArray[np.bool_]:
    """Where ``evidence`` is strong, cleaned of specks and with holes filled: bool (H, W)."""
    mask = (cv2.GaussianBlur(found, (0, 0), 1.0) > least).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    return np.asarray(mask, bool)


def things(night: Image, n_ref: Image) -> NDArray[np.bool_]:
    """Strong evidence with structure: bool (H, W).

    Haze before a headlight, the pool of a lamp that was off and a change of exposure are evidence, too, but smooth.
    A thing has edges that n_ref does not have at the same place, or hides edges of it.
    """
    found = strong(evidence(night, n_ref))
    fine = [plane - cv2.GaussianBlur(plane, (0, 0), FINE) for plane in (luma(night), luma(n_ref))]
    edges = np.abs(fine[0] - fine[1]) / estimate_noise(night, n_ref).at(luma(n_ref))
    marked = (cv2.GaussianBlur(edges, (0, 0), 1.0) > STRUCTURE).astype(np.uint8)
    side = 2 * max(2, round(REACH * night.shape[0])) + 1
    near = cv2.morphologyEx(
        marked, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    )
    near = cv2.dilate(near, np.ones((3, 3), np.uint8))
    return np.asarray(found & (near > 0))


def relit_paste(night: Image, x_ref: Image, n_ref: Image, *, least: float = STRONG) -> Image:
    """``relit`` where evidence is strong, x_ref elsewhere, with soft borders: an answer that costs no training."""
    share = strong(evidence(night, n_ref), least=least).astype(np.float32)
    share = cv2.GaussianBlur(share, (0, 0), 1.0)[..., None]
    made = share * relit(night, x_ref, n_ref) + (1 - share) * x_ref
    return np.asarray(np.rint(made), np.uint8)


def _blurred(plane: Plane, share: float) -> Plane:
    """A Gaussian blur of a standard deviation of ``share`` of the height."""
    sigma = max(1.0, share * plane.shape[0])
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
