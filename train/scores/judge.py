"""Which of several models is the best for a camera, judged on pictures that none of them was trained on.

Two things are looked at. Held-back days are darkened, so that the truth is known: how near is each answer to it? And
on a held-back real night: what does each answer show of what is there, and how clean is the rest? A model that is
better at the first and worse at the second has learnt the simulation and not the camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nightday.engines.model.checkpoint import load_checkpoint

from ..footage.evidence import relit_paste
from ..footage.scene import Image, Scene, spread, temporal_median
from ..run.translation import translate
from ..run.validation import Validator
from .baselines import RELIT_PASTE, Score, baseline_scores, score
from .things import NightsShown, nights_shown

# Seed of the nights' conditions and noise: others than those by which training chooses its best step.
SEED = 31_415_926
# dB by which a model must be nearer to the true day than each of its rivals; less can hardly be seen.
GAIN = 0.3
# What it may show less of the real night than another model, as a share of the things in it, and by how many dB its
# empty places may be farther from x_ref: the spread of such figures between nights of one camera.
LESS_SHOWN, LESS_CLEAN = 0.02, 0.5
# Real nights that are looked at.
NIGHTS = 8


@dataclass(frozen=True, slots=True)
class Standing:
    """What one answer reached.

    Attributes:
        name: of a model, or of an answer that costs nothing.
        whole, moving: PSNR to the true day of simulated nights, over all pixels and over what moves, in dB; NaN where
            nothing moves.
        shown: share of the things in the real night that it shows; NaN where there is none, or where that is not
            looked at.
        clean: PSNR to x_ref where nothing is in the real night, in dB; NaN where that is not looked at.
    """

    name: str
    whole: float
    moving: float
    shown: float = float("nan")
    clean: float = float("nan")

    @property
    def score(self) -> float:
        """The mean of ``whole`` and ``moving``, in dB."""
        return self.whole if np.isnan(self.moving) else (self.whole + self.moving) / 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came out.

    Attributes:
        won: whether the candidate is to serve.
        why: a sentence.
        standings: the candidate, then its rivals.
    """

    won: bool
    why: str
    standings: tuple[Standing, ...]


def judge(
    scene: Scene, held: Sequence[Image], nights: Sequence[Image], candidate: Path, rivals: Mapping[str, Path]
) -> Judgement:
    """Compare a checkpoint with others and with the answers that cost nothing.

    Args:
        scene: what the candidate was trained on; its days give x_ref and its nights n_ref.
        held: day pictures that it was not trained on, uint8 RGB (H, W, 3).
        nights: pictures of a night that it was not trained on.
        candidate: the checkpoint.
        rivals: other checkpoints, by what they are called.

    Raises:
        CheckpointError: a checkpoint cannot be read.
    """
    # Its folder is that of a run, in which it would write: this one scores no step.
    simulated = Validator(replace(scene, held_back=[*held]), Path(), seed=SEED)
    x_ref, n_ref = scene.background, temporal_median(scene.night)
    real = spread(nights, NIGHTS)
    standings = []
    for name, path in {"the new model": candidate, **rivals}.items():
        model = load_checkpoint(path)
        outputs = translate(model, real, x_ref, [n_ref] * len(real))
        scored = score(name, simulated.translate_nights(model), simulated.days, x_ref)
        standings.append(_standing(scored, nights_shown(real, outputs, x_ref=x_ref, n_ref=n_ref)))
    for scored in baseline_scores(
        simulated.nights, simulated.days, x_ref, night_backgrounds=simulated.night_backgrounds
    ):
        found = None
        if scored.method == RELIT_PASTE:
            pasted = [relit_paste(night, x_ref, n_ref) for night in real]
            found = nights_shown(real, pasted, x_ref=x_ref, n_ref=n_ref)
        standings.append(_standing(scored, found))
    return decide(standings, models=1 + len(rivals))


def decide(standings: Sequence[Standing], *, models: int) -> Judgement:
    """Whether the first of the standings wins against the others.

    Args:
        standings: the candidate, then the other models, then the answers that cost nothing.
        models: how many of them are models.
    """
    new, *others = standings
    best = max(others, key=lambda one: one.score)
    ahead = new.score - best.score
    why = f"it is {ahead:+.1f} dB to {best.name} on days that were kept back"
    won = ahead >= GAIN
    if not won:
        why += f"; {GAIN:g} dB more are asked for"
    # The relit paste is no measure by night: it is the night wherever there is evidence and x_ref elsewhere, so by
    # definition it hides nothing and is perfectly clean.
    faults = [fault for other in others[: models - 1] if (fault := _worse_by_night(new, other))]
    if won and faults:
        won, why = False, faults[0]
    return Judgement(won, why, (new, *others))


def _worse_by_night(new: Standing, other: Standing) -> str:
    """What of the real night the first does worse than the second, in a sentence; "" if nothing."""
    if new.shown < other.shown - LESS_SHOWN:
        return (
            f"of what is there in a night that was kept back it shows {new.shown:.0%}, "
            f"and {other.name} {other.shown:.0%}"
        )
    if new.clean < other.clean - LESS_CLEAN:
        return (
            f"the empty places of a night that was kept back come out at {new.clean:.1f} dB, "
            f"and with {other.name} at {other.clean:.1f}"
        )
    return ""


def _standing(scored: Score, found: NightsShown | None) -> Standing:
    if found is None:
        return Standing(scored.method, scored.whole, scored.foreground)
    return Standing(
        scored.method,
        scored.whole,
        scored.foreground,
        found.share,
        float(np.nanmean(found.output)),
    )
