"""How good a model is while it trains: scored on day pictures it has never seen, under nights that never change.

The last tenth of the day footage (in time; neighbouring frames are nearly alike, so that shuffling would leak) is
held back. From it come pairs: at most ``PAIRS`` pictures, each darkened once, with its noise, under one of ``NIGHTS``
conditions drawn with a seed of their own. Training draws its conditions anew for every crop and never meets these;
the night that the project's published scores are taken under is another one still, so that nothing is chosen by it.

The score is the mean of the PSNR over the whole frame and over the foreground: a pasted x_ref wins the first, the
second alone would let the background go. The pure ``dico`` recipe is scored in the same way, although it is never
shown a pair: scores then compare with its own earlier ones and with what costs nothing, less so with ``paired``.

For real nights there is no truth. What can be measured is whether their background becomes the day's: the PSNR of the
median of the outputs over all of ``REAL`` real nights (in which what moves is gone) to x_ref. A pasted x_ref is best
at that; so it is also measured how much of what stands out of the nights stands out of the outputs. Both are told
beside the score, and no part of it.

Nothing here touches the training's random state, and the model's running statistics stay as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack

from ..footage.night_simulator import NightSimulator
from ..footage.foreground import foreground_mask
from ..footage.night_conditions import random_conditions
from ..footage.scene import Image, Scene, temporal_median
from ..scores.baselines import score
from ..scores.image_distances import background_std

SEED = 20_240_229  # of the conditions and the noise; not one that a run is likely to have
NIGHTS, PAIRS, REAL = 4, 8, 8
OUTSTANDING = 60  # grey levels from the nights' median: a thing, or a lamp, and not another hour
STILL = 5  # times that one picture is darkened with other noise, to see what of it shows in the output
HOLD_BACK = 0.1


@dataclass(frozen=True, slots=True)
class Validation:
    """The scores after a step, in dB; NaN where there is nothing to score.

    Attributes:
        step: of the training.
        whole: PSNR over every pixel of the held-back pictures.
        foreground: over those that differ from x_ref.
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
        step: the step that training is at; scores of later ones are forgotten.
        patience: validations without a gain after which ``exhausted``; 0 for never.
    """

    def __init__(self, scene: Scene, folder: Path, *, step: int = 0, patience: int = 0) -> None:
        self.scene, self.folder, self.patience = scene, folder, patience
        self.unseen = bool(scene.held_back)
        self.days = _spread(scene.held_back or scene.day[-PAIRS:], PAIRS)
        self.real = _spread(scene.night, REAL)
        self.golden = pack(scene.night)
        rng = np.random.default_rng(SEED)
        conditions = [random_conditions(rng) for _ in range(NIGHTS)]
        shape = scene.background.shape[:2]
        simulators = [
            NightSimulator(c, shape, np.random.default_rng(SEED + i)) for i, c in enumerate(conditions)
        ]
        masks = [foreground_mask(day, scene.background) for day in self.days]
        pairs = list(zip(self.days, masks, strict=True))
        self.nights = [simulators[i % NIGHTS](day, mask) for i, (day, mask) in enumerate(pairs)]
        self.still = [[simulate(*pairs[0]) for _ in range(STILL)] for simulate in simulators]
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
        outputs = translate(model, self.nights)
        scored = score("model", outputs, self.days, self.scene.background)
        now = Validation(step, scored.whole, scored.foreground, self.real_psnr(translate(model, self.real)))
        best = self.best
        self.history.append(now)
        if best is None or now.score > best.score:
            save_checkpoint(self.folder / "best.pt", model, training=training, golden=self.golden)
        with self.path.open("a") as lines:
            lines.write(_line(now))
        return now

    def flicker(self, model: NightToDay) -> float:
        """How much of the sensor's noise is seen: standard deviation over time of a still scene, grey levels.

        Root mean square over the pixels; the median over the ``NIGHTS`` conditions.
        """
        everywhere = np.ones(self.scene.background.shape[:2], bool)
        return float(np.median([background_std(translate(model, night), everywhere) for night in self.still]))

    def shown(self, outputs: Sequence[Image]) -> Shown:
        """How much of what stands out of ``real`` stands out of what was made of it."""
        return shown(self.real, outputs, temporal_median(self.scene.night), self.scene.background)

    def real_psnr(self, outputs: Sequence[Image]) -> float:
        """PSNR of the median of what was made of ``real`` to x_ref, dB."""
        background = self.scene.background
        return score("real", [temporal_median(list(outputs))], [background], background).whole


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands out of real nights, and what of it comes out by day.

    Lamps and reflections that differ from night to night stand out as well and should not be shown, so that the share
    of a good model is not 1; that of a pasted x_ref is 0.

    Attributes:
        stands_out: share of the pixels that are ``OUTSTANDING`` from the nights' median.
        shown: share of these that differ from x_ref in the outputs; NaN where there are none.
        elsewhere: share of the other pixels that do.
    """

    stands_out: float
    shown: float
    elsewhere: float


def shown(nights: Sequence[Image], outputs: Sequence[Image], empty: Image, background: Image) -> Shown:
    """Hold outputs against nights; ``empty`` is the median of the nights, ``background`` x_ref."""
    outstanding = np.stack([foreground_mask(night, empty, threshold=OUTSTANDING) for night in nights])
    drawn = np.stack([foreground_mask(output, background) for output in outputs])
    return Shown(
        float(outstanding.mean()),
        float(drawn[outstanding].mean()) if outstanding.any() else math.nan,
        float(drawn[~outstanding].mean()) if not outstanding.all() else math.nan,
    )


@torch.no_grad()
def translate(model: NightToDay, pictures: Sequence[Image]) -> list[Image]:
    """What the model makes of pictures, uint8 RGB (H, W, 3) each; its mode is left as it was."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    outputs = [model(torch.from_numpy(p[None]).to(device))[0].cpu().numpy() for p in pictures]
    model.train(training)
    return outputs


def read_validations(path: Path) -> list[Validation]:
    """The scores of a run; of none, or of a torn last line, what is there."""
    found = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            told: dict[str, Any] = {k: math.nan if v is None else v for k, v in json.loads(line).items()}
            found.append(Validation(**told))
        except (json.JSONDecodeError, TypeError, AttributeError):
            continue
    return found


def _line(validation: Validation) -> str:
    # NaN is no JSON.
    return json.dumps({k: None if v != v else v for k, v in asdict(validation).items()}) + "\n"


def _spread(images: list[Image], count: int) -> list[Image]:
    return [images[i] for i in np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)]
