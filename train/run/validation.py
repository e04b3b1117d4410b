"""How good a model is while it trains: scored on day pictures it has never seen, under nights that never change.

The last tenth of the day footage is held back. It is the last in time, since neighbouring frames are nearly alike and
shuffling would leak. From it come at most ``PAIRS`` pictures, each darkened once, with its noise, under one of
``NIGHTS`` conditions drawn with a seed of their own. Training draws its conditions anew for every crop and never
meets these. The night of the project's published scores is yet another, so that nothing is chosen by it.

The score is the mean of the PSNR over the whole frame and over the foreground: a pasted x_ref wins the first, and the
second alone would let the background go. The ``dico`` recipe is scored in the same way although it is never shown a
pair: its scores compare with its own earlier ones and with the baselines, less so with those of ``paired``.

Real nights have no truth. What can be measured is whether their background becomes the day's: the PSNR of the median
of the outputs on at most ``REAL`` real nights, in which moving things are gone, to x_ref. A pasted x_ref is best at
that, so ``OutstandingRecall`` measures how much of what is outstanding in the nights also shows in the outputs. Both
are reported with the score and are not part of it.

Nothing here changes the training's random state or the model's running statistics.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay

from ..footage.foreground import foreground_mask, moving_in
from ..footage.night_conditions import random_conditions
from ..footage.night_simulator import NightSimulator
from ..footage.scene import Image, Scene, spread, temporal_median
from ..scores.baselines import score
from ..scores.image_distances import background_std
from .qualification import Qualification, of_scene
from .translation import translate

# Seed of the conditions and of the noise; not one that a run is likely to have.
SEED = 20_240_229
NIGHTS, PAIRS, REAL = 4, 8, 8
# Grey levels from the nights' median: a thing, or a lamp, and not another hour.
OUTSTANDING = 60
# Times that one picture is darkened with other noise, to see how much of the noise shows in the output.
FLICKER_REPEATS = 5


@dataclass(frozen=True, slots=True)
class Validation:
    """The scores after a step, in dB; NaN where there is nothing to score.

    Attributes:
        step: of the training.
        whole: PSNR over every pixel of the held-back pictures.
        foreground: over those that differ from x_ref; NaN where no camera is fixed, as ``real``.
        real: PSNR of the median of the outputs on real nights to x_ref.
    """

    step: int
    whole: float
    foreground: float
    real: float

    @property
    def score(self) -> float:
        """What the best checkpoint is chosen by, dB."""
        return self.whole if np.isnan(self.foreground) else (self.whole + self.foreground) / 2


class Validator:
    """Scores a model again and again on the same pictures, and keeps ``best.pt``.

    The scores are in ``validation.jsonl`` in the run's folder, from which a run that goes on reads them again.

    Args:
        scene: ``held_back`` is what is scored on; where it is empty, for lack of pictures, the last of ``day``, and
            ``unseen`` is False.
        folder: of the run.
        step: the step that training is at; scores of later steps are forgotten.
        patience: validations without a gain after which ``exhausted``; 0 for never.
        seed: of the nights' conditions and noise.
    """

    def __init__(
        self, scene: Scene, folder: Path, *, step: int = 0, patience: int = 0, seed: int = SEED
    ) -> None:
        self.scene, self.folder, self.patience = scene, folder, patience
        self.unseen = bool(scene.held_back)
        self.days = spread(scene.held_back or scene.day[-PAIRS:], PAIRS)
        self.real = spread(scene.night, REAL)
        self._qualification: Qualification | None = None
        rng = np.random.default_rng(seed)
        conditions = [random_conditions(rng) for _ in range(NIGHTS)]
        shape = scene.background.shape[:2]
        simulators = [
            NightSimulator(c, shape, np.random.default_rng(seed + i)) for i, c in enumerate(conditions)
        ]
        masks = [moving_in(day, scene) for day in self.days]
        self.x_ref = scene.background if scene.fixed_camera else None
        """What the scene shows when nothing moves; None where no camera is fixed."""
        pairs = list(zip(self.days, masks, strict=True))
        self.nights = [simulators[i % NIGHTS](day, mask) for i, (day, mask) in enumerate(pairs)]
        empty = [simulate(scene.background) for simulate in simulators]
        self._night_backgrounds = [empty[i % NIGHTS] for i in range(len(pairs))]
        self._empty = empty
        self._real_background = temporal_median(scene.night) if scene.night else None
        self.repeats = [[simulate(*pairs[0]) for _ in range(FLICKER_REPEATS)] for simulate in simulators]
        self.path = folder / "validation.jsonl"
        self.history = [v for v in read_validations(self.path) if v.step <= step]
        if self.path.is_file():
            self.path.write_text("".join(_line(v) for v in self.history))

    @property
    def best(self) -> Validation | None:
        """The first with the highest score."""
        return max(self.history, key=lambda v: v.score, default=None)

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` validations in a row have brought no gain."""
        if not self.patience or self.best is None:
            return False
        return len(self.history) - 1 - self.history.index(self.best) >= self.patience

    def __call__(self, model: NightToDay, step: int, training: dict[str, Any]) -> Validation:
        """Score, write it down, and keep the model if none was better.

        Args:
            model: in training mode, and left so.
            step: of the training.
            training: what the checkpoint says about its training.
        """
        outputs = self.translate_nights(model)
        scored = score("model", outputs, self.days, self.x_ref)
        now = Validation(step, scored.whole, scored.foreground, self.real_psnr(self.translate_real(model)))
        best = self.best
        self.history.append(now)
        if best is None or now.score > best.score:
            if self._qualification is None:
                self._qualification = of_scene(self.scene, backgrounds=model.settings.backgrounds)
            save_checkpoint(
                self.folder / "best.pt",
                model,
                training=training,
                qualification_frames=self._qualification.frames,
                qualification_backgrounds=self._qualification.backgrounds,
            )
        with self.path.open("a") as lines:
            lines.write(_line(now))
        return now

    @property
    def night_backgrounds(self) -> list[Image]:
        """n_ref of each of ``nights``: the empty place under the same light."""
        return self._night_backgrounds

    def translate_nights(self, model: NightToDay) -> list[Image]:
        """The model's outputs for ``nights``."""
        return translate(model, self.nights, self.scene.background, self._night_backgrounds)

    def translate_real(self, model: NightToDay) -> list[Image]:
        """The model's outputs for ``real``."""
        empty = self._real_background
        return translate(
            model, self.real, self.scene.background, [] if empty is None else [empty] * len(self.real)
        )

    def flicker(self, model: NightToDay) -> float:
        """How much of the sensor's noise shows: standard deviation over time where nothing moves, in grey levels.

        Root mean square over the pixels; the median over the ``NIGHTS`` conditions.
        """
        everywhere = np.ones(self.scene.background.shape[:2], bool)
        background = self.scene.background
        outputs = [
            translate(model, nights, background, [empty] * len(nights))
            for nights, empty in zip(self.repeats, self._empty, strict=True)
        ]
        return float(np.median([background_std(each, everywhere) for each in outputs]))

    def outstanding_recall(self, outputs: Sequence[Image]) -> OutstandingRecall:
        """How much of what is outstanding in ``real`` shows in the outputs."""
        return outstanding_recall(
            self.real, outputs, temporal_median(self.scene.night), self.scene.background
        )

    def real_psnr(self, outputs: Sequence[Image]) -> float:
        """PSNR of the median of what was made of ``real`` to x_ref, dB; NaN where no camera is fixed."""
        if self.x_ref is None:
            return math.nan
        return score("real", [temporal_median(list(outputs))], [self.x_ref], self.x_ref).whole


@dataclass(frozen=True, slots=True)
class OutstandingRecall:
    """What is outstanding in real nights, and how much of it shows by day.

    Lamps and reflections that differ from night to night are outstanding as well and should not show, so that the
    recall of a good model is below 1; that of a pasted x_ref is 0.

    Attributes:
        outstanding: share of the pixels that are ``OUTSTANDING`` from the nights' median.
        recall: share of these that differ from x_ref in the outputs; NaN where there are none.
        elsewhere: share of the other pixels that do.
    """

    outstanding: float
    recall: float
    elsewhere: float


def outstanding_recall(
    nights: Sequence[Image], outputs: Sequence[Image], empty: Image, background: Image
) -> OutstandingRecall:
    """Compare outputs with their nights; ``empty`` is the median of the nights, ``background`` x_ref."""
    outstanding = np.stack([foreground_mask(night, empty, threshold=OUTSTANDING) for night in nights])
    drawn = np.stack([foreground_mask(output, background) for output in outputs])
    return OutstandingRecall(
        float(outstanding.mean()),
        float(drawn[outstanding].mean()) if outstanding.any() else math.nan,
        float(drawn[~outstanding].mean()) if not outstanding.all() else math.nan,
    )


def read_validations(path: Path) -> list[Validation]:
    """The scores in a run's file; none where there is no such file. A torn line is left out."""
    found = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            values: dict[str, Any] = {k: math.nan if v is None else v for k, v in json.loads(line).items()}
            found.append(Validation(**values))
        except (json.JSONDecodeError, TypeError, AttributeError):
            continue
    return found


def _line(validation: Validation) -> str:
    # NaN is no JSON.
    return json.dumps({k: None if v != v else v for k, v in asdict(validation).items()}) + "\n"
