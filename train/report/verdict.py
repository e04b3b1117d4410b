"""Whether a trained model is fit to use, from measured rules whose limits are the constants below.

What the limits were set by is in ``benchmarks/NOTES.md``, section "Training".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..run.validation import Validation
from ..scores.baselines import Score, best_foreground

# dB above the best baseline; less can hardly be seen.
MARGIN = 1.0
# dB gained in the last quarter of the steps; above it longer training will help.
STEEP = 0.5
# Grey levels that noise makes the output change by at most; the demo model, which looks steady, has 5.
FLICKER = 10.0
# PSNR of real nights' outputs to x_ref, in dB: how much above the nights themselves, and how high at least.
REAL_GAIN, REAL_LEAST = 3.0, 15.0
# Fewer real nights have no median.
REAL_NIGHTS = 4
# Scores of fewer pictures are chance.
UNSEEN = 4
# Share of the outstanding pixels of real nights that must differ from x_ref in the outputs.
RECALL = 0.2
# Share of the pixels that are outstanding; below it nothing moves.
OUTSTANDING = 0.001
# dB below the best score; more means that later steps do harm.
FALLEN = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements that the verdict follows from.

    Attributes:
        scores: of night, gamma, CLAHE, x_ref, and last the model, in dB.
        history: of the validations.
        step, steps: steps done, and steps asked for.
        flicker: by how much noise changes the output, grey levels.
        real, real_night: PSNR to x_ref of the median of outputs on real nights, and of these nights, in dB.
        real_nights: how many real nights there were.
        outstanding, recall: see ``OutstandingRecall``.
        unseen: held-back pictures scored on; 0 if the model was trained on those scored on.
    """

    scores: Sequence[Score]
    history: Sequence[Validation]
    step: int
    steps: int
    flicker: float
    real: float
    real_night: float
    real_nights: int
    outstanding: float
    recall: float
    unseen: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and its result: True passed, False failed, None for a reservation or where it cannot be decided."""

    passed: bool | None
    name: str
    text: str


def assess(m: Measured) -> tuple[str, list[Rule]]:
    """The verdict ("fit", "reservations" or "unfit") and the rules it follows from."""
    rules = [_moving(m), _whole(m), *_real_nights(m), _steadiness(m), *_learning(m)]
    if any(rule.passed is False for rule in rules):
        return "unfit", rules
    return ("fit" if all(rule.passed for rule in rules) else "reservations"), rules


def _moving(m: Measured) -> Rule:
    *baselines, model = m.scores
    rival = best_foreground(baselines)
    if math.isnan(model.foreground):
        text = "Nothing moves in the pictures held back for scoring. Cars and people could not be scored."
        return Rule(None, "Moving things", text)
    ahead = model.foreground - rival.foreground
    text = (
        f"Cars and people come out {_db(ahead)} {'better' if ahead >= 0 else 'worse'} than by "
        f"the best cheap trick, {rival.method}. At least {MARGIN:g} dB better is asked for."
    )
    return Rule(ahead >= MARGIN, "Moving things", text)


def _whole(m: Measured) -> Rule:
    *baselines, model = m.scores
    rival = max(
        (s for s in baselines if not s.method.startswith("showing the empty scene")), key=lambda s: s.whole
    )
    ahead = model.whole - rival.whole
    text = (
        f"It is {_db(ahead)} {'closer to' if ahead >= 0 else 'farther from'} the true day than "
        f"merely brightening the night, {rival.method}. At least {MARGIN:g} dB closer is asked for."
    )
    return Rule(ahead >= MARGIN, "Whole picture", text)


def _real_nights(m: Measured) -> list[Rule]:
    name = "Your own nights"
    if m.real_nights < REAL_NIGHTS:
        text = f"Only {m.real_nights} real night pictures: too few to tell, {REAL_NIGHTS} are needed."
        return [Rule(None, name, text)]
    text = (
        f"On your real night pictures the scene comes out at {m.real:.1f} dB from your day background, the nights "
        f"themselves are at {m.real_night:.1f} dB. At least {REAL_LEAST:g} dB and {REAL_GAIN:g} dB more than the "
        "nights are asked for."
    )
    rules = [Rule(m.real - m.real_night >= REAL_GAIN and m.real >= REAL_LEAST, name, text)]
    if m.outstanding >= OUTSTANDING:
        text = (
            f"{m.recall:.0%} of what stands out of your real nights, lamps included, shows in the output. "
            f"Below {RECALL:.0%} it may be little but a picture of the empty place: look at the samples."
        )
        rules.append(Rule(True if m.recall >= RECALL else None, "Things in your nights", text))
    return rules


def _steadiness(m: Measured) -> Rule:
    text = (
        f"The camera's noise makes a still picture waver by {m.flicker:.1f} of 255 grey levels. "
        f"Up to {FLICKER:g} is fine."
    )
    return Rule(m.flicker <= FLICKER, "Steadiness", text)


def _learning(m: Measured) -> list[Rule]:
    rules = []
    scored = [v for v in m.history if v.step <= m.step]
    early = [v for v in scored if v.step <= 0.75 * m.step]
    if early and len(scored) >= 3:
        gain = scored[-1].score - early[-1].score
        rules.append(
            Rule(
                gain <= STEEP,
                "Done learning",
                f"The score {'rose' if gain >= 0 else 'fell'} by {abs(gain):.2f} dB in the last quarter "
                f"of the training. More "
                f"than {STEEP:g} dB up means that longer training will help.",
            )
        )
        best = max(scored, key=lambda v: v.score)
        if best.score - scored[-1].score > FALLEN:
            rules.append(
                Rule(
                    None,
                    "Past its best",
                    f"The score has fallen {_db(best.score - scored[-1].score)} since step {best.step}. "
                    f"best.pt holds that step; "
                    "give more footage rather than more steps.",
                )
            )
    else:
        rules.append(Rule(None, "Done learning", "Too few scores to tell whether it is still learning."))
    if m.step < m.steps:
        rules.append(
            Rule(
                None,
                "Finished",
                f"Training ended at step {m.step} of {m.steps}. The same command goes on from there.",
            )
        )
    if m.unseen < UNSEEN:
        text = (
            f"Scored on only {m.unseen} picture{'s' if m.unseen > 1 else ''} it has not seen: "
            f"{UNSEEN} are needed to be sure."
            if m.unseen
            else "Scored on pictures it has learnt from, for lack of others: the scores flatter it."
        )
        rules.append(Rule(None, "Fair test", text))
    return rules


def _db(value: float) -> str:
    return f"{abs(value):.1f} dB"
