"""Whether a trained model is fit to use, from measured rules whose limits are the constants below.

What the limits were set by is in ``benchmarks/NOTES.md``, section "Training".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..run.validation import Validation
from ..scores.baselines import EMPTY_SCENE, RELIT_PASTE, Score, best_foreground
from ..scores.things import NightsShown

# dB above the best baseline; less can hardly be seen.
MARGIN = 1.0
# dB gained in the last quarter of the steps; above it longer training will help.
STEEP = 0.5
# Grey levels that noise makes the output change by at most; the demo model, which looks steady, has 5.
FLICKER = 10.0
# PSNR of single real nights' outputs to x_ref where nothing is, in dB: how much above the nights themselves, and how
# high at least.
REAL_GAIN, REAL_LEAST = 3.0, 15.0
# From fewer real nights nothing can be told.
REAL_NIGHTS = 4
# Scores of fewer pictures are chance.
UNSEEN = 4
# Share of the things in real nights that must show: below the first the model hides, from the second on it does not.
HIDES, SHOWS = 0.5, 0.9
# dB below the best score; more means that later steps do harm.
FALLEN = 1.0


# The rule that a model breaks which shows nothing.
NOTHING = "Shows what is there"


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements that the verdict follows from.

    Attributes:
        scores: of night, gamma, CLAHE, x_ref, and last the model, in dB.
        history: of the validations.
        step, steps: steps done, and steps asked for.
        flicker: by how much noise changes the output, grey levels.
        nights: what is shown of real nights; None where there are too few nights for a background by night.
        real_nights: how many real nights there were.
        kept_back: whether these were never trained on.
        simulated: what is shown of the simulated nights that ``scores`` are of, by the evidence.
        unseen: held-back pictures scored on; 0 if the model was trained on those scored on.
        fixed_camera: whether one took the pictures; else nothing can be told of what moves, nor of real nights.
    """

    scores: Sequence[Score]
    history: Sequence[Validation]
    step: int
    steps: int
    flicker: float
    nights: NightsShown | None
    real_nights: int
    kept_back: bool
    simulated: NightsShown
    unseen: int
    fixed_camera: bool = True

    @property
    def shows_nothing(self) -> bool:
        """Whether none of the things that are there by night is in any output."""
        every = [*self.simulated.things, *(self.nights.things if self.nights else ())]
        return bool(every) and not any(thing.shown for thing in every)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and its result: True passed, False failed, None for a reservation or where it cannot be decided."""

    passed: bool | None
    name: str
    text: str


def assess(m: Measured) -> tuple[str, list[Rule]]:
    """The verdict ("fit", "reservations" or "unfit") and the rules it follows from."""
    rules = [*_nothing(m), _moving(m), _whole(m), *_real_nights(m), _steadiness(m), *_learning(m)]
    if any(rule.passed is False for rule in rules):
        return "unfit", rules
    return ("fit" if all(rule.passed for rule in rules) else "reservations"), rules


def _nothing(m: Measured) -> list[Rule]:
    if not m.shows_nothing:
        return []
    count = len(m.simulated.things) + (len(m.nights.things) if m.nights else 0)
    return [
        Rule(
            False,
            NOTHING,
            f"It shows nothing of what is there by night: none of {count} things in the pictures it was judged on. "
            "What it gives is a picture of the empty place.",
        )
    ]


def _moving(m: Measured) -> Rule:
    *baselines, model = m.scores
    rival = best_foreground(baselines)
    if not m.fixed_camera:
        text = "No camera is fixed here, so nothing tells what moves. Cars and people could not be scored."
        return Rule(None, "Moving things", text)
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
    rival = max((s for s in baselines if s.method not in (EMPTY_SCENE, RELIT_PASTE)), key=lambda s: s.whole)
    ahead = model.whole - rival.whole
    text = (
        f"It is {_db(ahead)} {'closer to' if ahead >= 0 else 'farther from'} the true day than "
        f"merely brightening the night, {rival.method}. At least {MARGIN:g} dB closer is asked for."
    )
    return Rule(ahead >= MARGIN, "Whole picture", text)


def _real_nights(m: Measured) -> list[Rule]:
    name = "Your own nights"
    if not m.fixed_camera:
        text = (
            "No camera is fixed here: your nights show other places than your days, and there is no empty place to "
            "hold them against. Look at the pictures below yourself, for what is hidden too."
        )
        return [Rule(None, name, text)]
    if m.real_nights < REAL_NIGHTS or m.nights is None:
        text = f"Only {m.real_nights} real night pictures: too few to tell, {REAL_NIGHTS} are needed."
        if m.nights is None and m.real_nights >= REAL_NIGHTS:
            text = "Too few real night pictures to know the empty place by night: more are needed."
        return [Rule(None, name, text)]
    whose = "never trained on" if m.kept_back else "that it has learnt from, for lack of others"
    night, output = (float(np.nanmean(values)) for values in (m.nights.night, m.nights.output))
    worst = float(np.nanmin(m.nights.output))
    text = (
        f"In {m.real_nights} of your real nights, {whose}, the empty places come out at {output:.1f} dB from your "
        f"day background, picture by picture, the worst at {worst:.1f}; the nights themselves are at {night:.1f} dB. "
        f"At least {REAL_LEAST:g} dB, in the worst too, and {REAL_GAIN:g} dB more than the nights are asked for."
    )
    good = output - night >= REAL_GAIN and worst >= REAL_LEAST
    passed = (True if m.kept_back else None) if good else False
    return [Rule(passed, name, text), *_things(m.nights)]


def _things(nights: NightsShown) -> list[Rule]:
    """A model that hides is never fit: what is not shown at all might be a car in mid-road."""
    if not nights.things:
        return []
    kind = "labelled things" if nights.labelled else "things that differ from your background by night"
    text = (
        f"{nights.share:.0%} of the {len(nights.things)} {kind} show in the output. At least {SHOWS:.0%} are asked "
        f"for; below {HIDES:.0%} the model hides what is there."
    )
    hidden = nights.hidden
    if hidden:
        left, top, right, bottom = hidden[0].box
        more = f", and {len(hidden) - 1} more of that kind" if len(hidden) > 1 else ""
        text += (
            f" Hidden: in real night {hidden[0].picture + 1} what stands at x={left}, y={top}, "
            f"{right - left}×{bottom - top} pixels{more}."
        )
    passed = None if nights.share >= HIDES else False
    return [Rule(True if nights.share >= SHOWS and not hidden else passed, "Things in your nights", text)]


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
    if m.shows_nothing:
        # More of the same training would not mend that, so that nothing is said of it.
        pass
    elif early and len(scored) >= 3:
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
