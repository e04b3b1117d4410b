"""Whether a trained model is fit to use, from measured rules whose limits are the constants below.

What they were set by: the demo model, which looks right, stands 7 dB above gamma on moving things, its nights come
out at 24 dB and it wavers by 5 grey levels; after 600 steps instead of 10,000 the picture is still smeared, at 4 dB,
21 dB and 6 levels, and the score rises by 0.6 dB in the last quarter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..run.validation import Validation
from ..scores.baselines import Score

MARGIN = 1.0  # dB above the best of what costs nothing: less is hardly seen
STEEP = 0.5  # dB gained in the last quarter of the steps: more is left to gain
FLICKER = 10.0  # grey levels; the demo model, which looks steady, has 5
REAL_GAIN, REAL_LEAST = 3.0, 15.0  # dB; outputs on real nights were grey smears at 10 and 14 dB, a day at 17
REAL_NIGHTS = 4  # fewer have no median
UNSEEN = 4  # pictures; fewer are chance
SHOWN = (
    0.2  # of what stands out of real nights; pastes of x_ref had 0 to 0.1, models that show vehicles 0.45 up
)
STANDS_OUT = 0.001  # share of the pixels; below it nothing moves
FALLEN = 1.0  # dB below the best: later steps harm


@dataclass(frozen=True, slots=True)
class Measured:
    """What the verdict is made of.

    Attributes:
        scores: of night, gamma, CLAHE, x_ref, and last the model, dB.
        history: of the validations.
        step, steps: where training is, and what it was to do.
        flicker: grey levels.
        real, real_night: PSNR to x_ref of the median of outputs on real nights and of these nights, dB.
        real_nights: how many there were.
        stands_out, shown: share of the real nights' pixels that stand out of them, and share of these that are shown.
        unseen: held-back pictures scored on; 0 if those scored on were learnt from.
    """

    scores: Sequence[Score]
    history: Sequence[Validation]
    step: int
    steps: int
    flicker: float
    real: float
    real_night: float
    real_nights: int
    stands_out: float
    shown: float
    unseen: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and what came out: True kept, False broken, None for a reservation or nothing to judge by."""

    kept: bool | None
    name: str
    text: str


def judge(m: Measured) -> tuple[str, list[Rule]]:
    """The verdict ("fit", "reservations" or "unfit") and the rules it follows from."""
    *trivial, model = m.scores
    rules = []
    rival = max(trivial, key=lambda s: s.foreground if s.foreground == s.foreground else -math.inf)
    name = "Moving things"
    if math.isnan(model.foreground):
        rules.append(
            Rule(
                None,
                name,
                "Nothing moves in the pictures held back for scoring. Cars and people could not be scored.",
            )
        )
    else:
        ahead = model.foreground - rival.foreground
        rules.append(
            Rule(
                ahead >= MARGIN,
                name,
                f"Cars and people come out {_db(ahead)} {'better' if ahead >= 0 else 'worse'} than by "
                f"the best cheap trick, {rival.method}. At least {MARGIN:g} dB better is asked for.",
            )
        )
    rival = max((s for s in trivial if not s.method.startswith("output x_ref")), key=lambda s: s.whole)
    ahead = model.whole - rival.whole
    rules.append(
        Rule(
            ahead >= MARGIN,
            "Whole picture",
            f"It is {_db(ahead)} {'closer to' if ahead >= 0 else 'farther from'} the true day than "
            f"merely brightening the night, {rival.method}. At least {MARGIN:g} dB closer is asked for.",
        )
    )
    if m.real_nights < REAL_NIGHTS:
        rules.append(
            Rule(
                None,
                "Your own nights",
                f"Only {m.real_nights} real night pictures: too few to tell, {REAL_NIGHTS} are needed.",
            )
        )
    else:
        gain = m.real - m.real_night
        rules.append(
            Rule(
                gain >= REAL_GAIN and m.real >= REAL_LEAST,
                "Your own nights",
                f"On your real night pictures the scene comes out at {m.real:.1f} dB from your day "
                f"background, the nights "
                f"themselves are at {m.real_night:.1f} dB. At least {REAL_LEAST:g} dB and {REAL_GAIN:g} "
                f"dB more than the "
                "nights are asked for.",
            )
        )
        if m.stands_out >= STANDS_OUT:
            rules.append(
                Rule(
                    True if m.shown >= SHOWN else None,
                    "Things in your nights",
                    f"{m.shown:.0%} of what stands out of your real nights, lamps included, shows in the output. "
                    f"Below {SHOWN:.0%} it may be little but a picture of the empty place: look at the samples.",
                )
            )
    rules.append(
        Rule(
            m.flicker <= FLICKER,
            "Steadiness",
            f"The camera's noise makes a still picture waver by {m.flicker:.1f} of 255 grey levels. "
            f"Up to {FLICKER:g} is fine.",
        )
    )
    rules += _learning(m)
    if any(rule.kept is False for rule in rules):
        return "unfit", rules
    return ("fit" if all(rule.kept for rule in rules) else "reservations"), rules


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
