"""What the generator is trained to do: translate a step's nights, and compare the outputs by all terms of the run."""

from __future__ import annotations

import torch
from torch import Tensor

from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.generator import NightToDay

from ..footage.scene import Scene
from ..objectives.detector_features import DetectorFeatures
from ..objectives.vgg import Vgg16Features
from . import losses
from .losses import LossSum
from .paper_terms import PaperTerms
from .sampler import Pair, RealNight
from .settings import TrainSettings
from .tensors import to_maps, to_tensor


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
        references = to_tensor([each.reference for each in drawn], self.device) if s.see_reference else None
        found = LossSum(self.device)
        output, drawing, mask = self._translate(model, nights, references, found)
        generated = output[count:]
        known = []
        if pairs:
            known.append(self._add_pairs(found, output[:count], pairs))
        if self.teacher is not None:
            self._add_teacher(found, generated, nights[count:], references)
        if s.still_weight > 0:
            known.append(self._add_targets(found, generated, real))
        if drawing is not None and mask is not None:
            day, moving, stationary = (torch.cat(column) for column in zip(*known, strict=True))
            drawn_l1 = losses.drawing_l1(drawing[: len(day)], day, moving)
            mask_entropy = losses.mask_cross_entropy(mask[: len(day)], moving, stationary)
            found.add_layers(drawn_l1, mask_entropy, s.layers)
        if self.paper_terms is not None and step >= s.unpaired_start:
            reference = to_tensor([each.reference for each in real], self.device)
            unpaired = self.paper_terms.loss(generated, nights[count:], reference, step)
            found.terms |= unpaired.terms
            found.total = found.total + unpaired.total
        return found, generated

    def _translate(
        self, model: NightToDay, nights: Tensor, references: Tensor | None, found: LossSum
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The outputs, and with ``layers`` what was drawn and the mask as a logit; adds the term ``steady``."""
        s = self.settings
        drawing: Tensor | None = None
        mask: Tensor | None = None
        if s.steady_weight > 0:
            nights = torch.cat((nights, losses.with_noise(nights)))
            references = None if references is None else references.repeat(2, 1, 1, 1)
        with self._autocast():
            if s.layers > 0:
                layers = model.translate_in_layers(nights, references)
                output, drawing, mask = layers.day, layers.drawn, layers.present
            else:
                output = model.translate(nights, references)
        output = output.float()
        if s.steady_weight > 0:
            output, again = output.chunk(2)
            found.add("steady", (output - again).abs().mean(), s.steady_weight)
        return output, drawing, mask

    def _add_pairs(self, found: LossSum, output: Tensor, pairs: list[Pair]) -> tuple[Tensor, Tensor, Tensor]:
        """Add the terms of pairs; gives their days, and where something moves and where not."""
        s = self.settings
        day = to_tensor([pair.day for pair in pairs], self.device)
        moving = to_maps([pair.foreground for pair in pairs], self.device)
        found.add("paired", losses.paired_l1(output, day, moving, s.foreground_weight), s.paired_weight)
        if s.feature_weight > 0 and self.vgg is not None:
            features = losses.feature_l1(self.vgg, output, day, mixed=s.mixed)
            found.add("features", features, s.feature_weight)
        if self.detector is not None:
            found.add("detector", self.detector.difference(output, day), s.detector_weight)
        return day, moving, ~moving

    def _add_teacher(self, found: LossSum, output: Tensor, nights: Tensor, references: Tensor | None) -> None:
        """Add the difference to the teacher's outputs on real nights; ``references`` are of the whole step."""
        assert self.teacher is not None
        seen = None
        if references is not None and self.teacher.settings.reference is not None:
            seen = references[len(references) - len(nights) :]
        with torch.no_grad(), self._autocast():
            taught = self.teacher.translate(nights, seen).float()
        found.add("teacher", (output - taught).abs().mean(), self.settings.teacher_weight)

    def _add_targets(
        self, found: LossSum, output: Tensor, real: list[RealNight]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Add the term ``still`` of real nights; gives their days, and where something moves and where surely not."""
        targets = [each.target for each in real if each.target is not None]
        day = to_tensor([target.day for target in targets], self.device)
        weight = to_maps([target.weight for target in targets], self.device)
        inserted = to_maps([target.inserted for target in targets], self.device)
        found.add("still", losses.weighted_l1(output, day, weight), self.settings.still_weight)
        return day, inserted, (weight > 0) & ~inserted

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.mixed)
