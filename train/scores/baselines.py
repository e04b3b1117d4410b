"""Baselines, which need no model, and the PSNR to compare them by.

They are the night itself, gamma, CLAHE, x_ref, and the relit paste, which is the one to beat: it knows from n_ref
what is there tonight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..footage.evidence import relit_paste
from ..footage.foreground import foreground_mask
from ..footage.scene import Image
from .scorer import Box, HeldOut, Psnr, keep_mask, psnr

# Names of two of them in tables.
EMPTY_SCENE, RELIT_PASTE = "showing the empty scene", "relit paste"

# Exponents that are tried.
GAMMAS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.33, 0.25, 0.2, 0.15)
CLAHE_CLIPS = (2.0, 4.0, 8.0, 16.0, 40.0)

# Burned-in clock, number, logo and name of TfL's cameras at 352×288: (left, top, right, bottom) in pixels. The day
# background has them too, so that every score would count them as translated well.
TFL_LABELS = ((0, 0, 126, 16), (30, 28, 86, 52), (258, 0, 352, 38), (80, 268, 270, 288))


@dataclass(frozen=True, slots=True)
class Score:
    """One method's PSNR to the truth; see ``Psnr``."""

    method: str
    whole: float
    foreground: float
    background: float


def score(
    method: str,
    pictures: Sequence[Image],
    truth: Sequence[Image],
    background: Image | None,
    *,
    labels: Sequence[Box] = (),
) -> Score:
    """PSNR of ``pictures`` to ``truth``, uint8 RGB (H, W, 3) each; the foreground is taken from the truth.

    Without a background, x_ref, there is no foreground.
    """
    shape = truth[0].shape
    if background is None:
        moving = [np.zeros(shape[:2], bool)] * len(truth)
    else:
        moving = [foreground_mask(day, background) for day in truth]
    found: Psnr = psnr(pictures, truth, moving, keep_mask(shape, labels))
    return Score(method, found.whole, found.foreground, found.background)


def gamma(night: Image, exponent: float) -> Image:
    """The night picture, uint8, with its levels in [0, 1] raised to ``exponent``."""
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return table[night]


def clahe(night: Image, clip: float) -> Image:
    """Contrast-limited adaptive histogram equalisation of the lightness, 8×8 tiles."""
    lab = cv2.cvtColor(night, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(clipLimit=clip, tileGridSize=(8, 8)).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)


def gamma_to(nights: Sequence[Image], days: Sequence[Image]) -> float:
    """The exponent of ``GAMMAS`` that brings the nights' mean brightness nearest to that of days."""
    day = np.mean([image.mean() for image in days])
    return min(GAMMAS, key=lambda g: abs(np.mean([gamma(night, g).mean() for night in nights]) - day))


def baseline_scores(
    night: Sequence[Image],
    day: Sequence[Image],
    background: Image | None,
    *,
    labels: Sequence[Box] = (),
    night_backgrounds: Sequence[Image] | None = None,
) -> list[Score]:
    """The night itself, gamma and CLAHE at their best foreground score on these very frames, x_ref, the relit paste.

    Args:
        night, day: the same moments, uint8 RGB (H, W, 3) each.
        background: x_ref; without it nothing is pasted, and the best score is that of the whole picture.
        labels: boxes that do not count.
        night_backgrounds: n_ref of each night; without them there is no relit paste.
    """

    def best(name: str, make: Callable[[Image, float], Image], values: Sequence[float]) -> Score:
        tried = [
            score(
                f"{name} {v:g} (best of {len(values)})",
                [make(n, v) for n in night],
                day,
                background,
                labels=labels,
            )
            for v in values
        ]
        return max(tried, key=lambda s: s.whole if background is None else s.foreground)

    scores = [
        score("night", night, day, background, labels=labels),
        best("gamma", gamma, GAMMAS),
        best("CLAHE", clahe, CLAHE_CLIPS),
    ]
    if background is None:
        return scores
    scores.append(score(EMPTY_SCENE, [background] * len(day), day, background, labels=labels))
    if night_backgrounds is not None:
        pasted = [
            relit_paste(n, background, known) for n, known in zip(night, night_backgrounds, strict=True)
        ]
        scores.append(score(RELIT_PASTE, pasted, day, background, labels=labels))
    return scores


def baseline_pictures(test: HeldOut) -> dict[str, list[Image]]:
    """The baselines' pictures of the test's nights, by name.

    Gamma and CLAHE have the setting of the highest foreground PSNR to the truth where there is one; else gamma is set
    to the real days' brightness and CLAHE to a clip limit of 4.
    """
    exponent, clip = gamma_to(test.nights, test.real), 4.0
    if test.truth is not None:
        moving = test.foreground()

        def foreground(make: Callable[[Image, float], Image], value: float) -> float:
            assert test.truth is not None
            return psnr([make(n, value) for n in test.nights], test.truth, moving, test.keep).foreground

        exponent = max(GAMMAS, key=lambda g: foreground(gamma, g))
        clip = max(CLAHE_CLIPS, key=lambda c: foreground(clahe, c))
    pictures = {
        "night": list(test.nights),
        f"gamma {exponent:g} (best of {len(GAMMAS)})": [gamma(n, exponent) for n in test.nights],
        f"CLAHE {clip:g}": [clahe(n, clip) for n in test.nights],
        EMPTY_SCENE: [test.background] * len(test.nights),
    }
    if test.night_background is not None:
        known = test.night_background
        pictures[RELIT_PASTE] = [relit_paste(night, test.background, known) for night in test.nights]
    return pictures


def best_foreground(scores: Sequence[Score]) -> Score:
    """The score with the highest foreground PSNR; one without a foreground comes last."""
    return max(scores, key=lambda s: -math.inf if math.isnan(s.foreground) else s.foreground)
