"""What the generator is trained to do: translate a step's nights, and compare the outputs by all terms of the run."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.evidence import Evidence, evidence
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.layers import MOST_ERROR, Layers

from ..footage.scene import Scene
from ..objectives.detector_features import DetectorFeatures
from ..objectives.vgg import Vgg16Features
from . import losses
from .losses import LossSum
from .paper_terms import PaperTerms
from .sampler import Pair, RealNight
from .settings import TrainSettings
from .tensors import to_maps, to_tensor

# The day, where something moves and where surely not: (N, 3, H, W) in [0, 1] and bool (N, 1, H, W) each.
Known = tuple[Tensor, Tensor, Tensor]
# Weight of the error that is expected.
ERROR = 1.0


class Objective:
    """The loss of a training run, with the networks behind its terms.

    Args:
        scene: day frames and x_ref.
        settings: of the run.
        device: of everything.

    Raises:
        CheckpointError, VggWeightsError, DetectorError: a network that the settings ask for cannot be had.
    """

    def __init__(self, scene: Scene, settings: TrainSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.teacher = load_checkpoint(settings.teacher).to(device) if settings.teacher else None
        unpaired = settings.unpaired_start < settings.steps
        self.vgg: Vgg16Features | None = None
        if unpaired or (settings.paired and settings.feature_weight > 0):
            self.vgg = Vgg16Features(settings.vgg).to(device)
        self.detector: DetectorFeatures | None = None
        if settings.detector is not None and settings.detector_weight > 0:
            self.detector = DetectorFeatures(settings.detector).to(device)
        self.paper_terms: PaperTerms | None = None
        if unpaired and self.vgg is not None:
            self.paper_terms = PaperTerms(scene, settings, self.vgg, device)

    def needs_real_nights(self, step: int) -> bool:
        """Whether a step learns from real nights."""
        s = self.settings
        return step >= s.unpaired_start or self.teacher is not None or s.still_weight > 0

    def losses(
        self, model: NightToDay, pairs: list[Pair], real: list[RealNight], step: int
    ) -> tuple[LossSum, Tensor]:
        """The weighted terms of a step, and the outputs for the real nights, (N, 3, H, W) in [0, 1]."""
        s, count = self.settings, len(pairs)
        # One forward pass for all kinds: batch normalisation then sees them together.
        drawn: list[Pair | RealNight] = [*pairs, *real]
        nights = to_tensor([each.night for each in drawn], self.device)
        nights = nights.contiguous(memory_format=torch.channels_last)
        seen = self._backgrounds(drawn)
        output, layers = self._translate(model, nights, seen, found := LossSum(self.device))
        generated = output[count:]
        known: list[Known] = []
        shown = evidence(nights, *seen) if s.backgrounds else None
        if pairs:
            known.append(self._add_pairs(found, output[:count], pairs, shown))
        if self.teacher is not None:
            self._add_teacher(found, generated, nights[count:], seen)
        if s.still_weight > 0 and real:
            known.append(self._add_targets(found, generated, real))
        if layers is not None:
            day, moving, stationary = (torch.cat(column) for column in zip(*known, strict=True))
            if shown is not None:
                passed = [each.passed if isinstance(each, RealNight) else None for each in drawn[: len(day)]]
                self._add_evidence(found, layers, shown, known=(day, moving, stationary), passed=passed)
            else:
                drawn_l1 = losses.drawing_l1(layers.drawn[: len(day)], day, moving)
                mask_entropy = losses.mask_cross_entropy(layers.present[: len(day)], moving, stationary)
                found.add_layers(drawn_l1, mask_entropy, s.layers)
        if self.paper_terms is not None and step >= s.unpaired_start:
            reference = to_tensor([each.reference for each in real], self.device)
            unpaired = self.paper_terms.loss(generated, nights[count:], reference, step)
            found.terms |= unpaired.terms
            found.total = found.total + unpaired.total
        return found, generated

    def _backgrounds(self, drawn: list[Pair | RealNight]) -> list[Tensor]:
        """x_ref, and n_ref, as far as the model is given them."""
        s = self.settings
        if not (s.see_reference or s.backgrounds):
            return []
        seen = [to_tensor([each.reference for each in drawn], self.device)]
        if s.backgrounds:
            pictures = [each.night_reference for each in drawn if each.night_reference is not None]
            seen.append(to_tensor(pictures, self.device))
        return seen

    def _translate(
        self, model: NightToDay, nights: Tensor, seen: list[Tensor], found: LossSum
    ) -> tuple[Tensor, Layers | None]:
        """The outputs, and what they are made of where that is learned too; adds the term ``steady``."""
        s = self.settings
        layers: Layers | None = None
        if s.steady_weight > 0:
            nights = torch.cat((nights, losses.with_noise(nights)))
            seen = [each.repeat(2, 1, 1, 1) for each in seen]
        with self._autocast():
            if s.layers > 0:
                layers = model.translate_in_layers(nights, *seen)
                output = layers.day
            else:
                output = model.translate(nights, *seen)
        output = output.float()
        if s.steady_weight > 0:
            output, again = output.chunk(2)
            found.add("steady", (output - again).abs().mean(), s.steady_weight)
        return output, layers

    def _add_evidence(
        self,
        found: LossSum,
        layers: Layers,
        shown: Evidence,
        *,
        known: Known,
        passed: list[NDArray[np.bool_] | None],
    ) -> None:
        """Add the terms of a model that sees backgrounds: its layers, what the night shows, and the error expected.

        Args:
            found: the terms.
            layers: of all nights of the step, those whose day is known first.
            shown: what these show.
            known: of the first ones, the day, where something moves, and where surely not.
            passed: of real nights, where things pass by day.
        """
        day, moving, stationary = known
        count = len(day)
        assert layers.error is not None
        strength, relit = shown.strength[:count], shown.relit[:count].clamp(0, 1)
        # What moves but leaves no evidence, such as a dark car on a dark road, cannot be told from the empty road.
        near = losses.near_evidence(shown.near[:count], moving.shape[-2:])
        at = [torch.zeros_like(moving[0]) if p is None else to_maps([p], self.device)[0] for p in passed]
        witnessed = losses.strong(strength) & torch.stack(at) & ~moving
        drawn = losses.drawing_l1(layers.drawn[:count], day, moving & near)
        absent = stationary & ~moving & ~witnessed & near
        mask = losses.mask_cross_entropy(layers.present[:count], (moving & near) | witnessed, absent)
        found.add_layers(drawn, mask, self.settings.layers)
        detail = losses.detail_l1(layers.day[:count], relit, witnessed)
        found.add("evidence", detail, self.settings.evidence_weight)
        certain = (stationary | moving) & ~witnessed
        error = losses.error_square(layers.error[:count], layers.day[:count], day, certain, most=MOST_ERROR)
        found.add("error", error, ERROR)

    def _add_pairs(self, found: LossSum, output: Tensor, pairs: list[Pair], shown: Evidence | None) -> Known:
        """Add the terms of pairs; gives their days, and where something moves and where not."""
        s = self.settings
        day = to_tensor([pair.day for pair in pairs], self.device)
        moving = to_maps([pair.foreground for pair in pairs], self.device)
        heavy = moving
        if shown is not None:
            heavy = moving & losses.near_evidence(shown.near[: len(day)], moving.shape[-2:])
        found.add("paired", losses.paired_l1(output, day, heavy, s.foreground_weight), s.paired_weight)
        if s.detail_weight > 0:
            found.add("detail", losses.detail_l1(output, day, heavy), s.detail_weight)
        if s.feature_weight > 0 and self.vgg is not None:
            features = losses.feature_l1(self.vgg, output, day, mixed=s.mixed)
            found.add("features", features, s.feature_weight)
        if self.detector is not None:
            found.add("detector", self.detector.difference(output, day), s.detector_weight)
        return day, moving, ~moving

    def _add_teacher(self, found: LossSum, output: Tensor, nights: Tensor, seen: list[Tensor]) -> None:
        """Add the difference to the teacher's outputs on real nights; ``seen``: backgrounds of the whole step."""
        assert self.teacher is not None
        teacher = self.teacher.settings
        taken = 2 if teacher.backgrounds else int(teacher.reference is not None)
        own = [each[len(each) - len(nights) :] for each in seen[:taken]]
        with torch.no_grad(), self._autocast():
            taught = self.teacher.translate(nights, *own).float()
        found.add("teacher", (output - taught).abs().mean(), self.settings.teacher_weight)

    def _add_targets(self, found: LossSum, output: Tensor, real: list[RealNight]) -> Known:
        """Add the term ``still`` of real nights; gives their days, and where something moves and where surely not."""
        targets = [each.target for each in real if each.target is not None]
        day = to_tensor([target.day for target in targets], self.device)
        weight = to_maps([target.weight for target in targets], self.device)
        inserted = to_maps([target.inserted for target in targets], self.device)
        found.add("still", losses.weighted_l1(output, day, weight), self.settings.still_weight)
        return day, inserted, (weight > 0) & ~inserted

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.mixed)
