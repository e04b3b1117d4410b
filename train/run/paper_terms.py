"""The paper's terms on real nights: the discriminator, the EleSim thresholds, and the loss made of both."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from .. import processes
from ..footage.scene import Scene
from ..objectives.dico_losses import dico_losses, discriminator_loss
from ..objectives.discriminator import PatchDiscriminator
from ..objectives.elesim import similarity_thresholds
from ..objectives.vgg import Vgg16Features
from .losses import LossSum, resized_mask, weighted_l1
from .settings import TrainSettings
from .tensors import to_tensor

log = logging.getLogger("nightday.train")

# Day pictures that the thresholds are taken from.
THRESHOLD_DAYS = 12


class PaperTerms:
    """Adversarial, background and foreground loss of outputs on real nights, with the discriminator.

    Args:
        scene: day frames and x_ref, from which the thresholds are taken.
        settings: of the run.
        vgg: ζ, on ``device``.
        device: of everything.
    """

    def __init__(
        self, scene: Scene, settings: TrainSettings, vgg: Vgg16Features, device: torch.device
    ) -> None:
        self.settings, self.vgg, self.device = settings, vgg, device
        self.discriminator = PatchDiscriminator().to(device)
        self.optimiser = torch.optim.Adam(self.discriminator.parameters(), betas=(0.5, 0.999))
        picks = np.linspace(0, len(scene.day) - 1, THRESHOLD_DAYS).round().astype(int)
        days = (to_tensor([scene.day[i]], device) for i in picks)
        self.thresholds = similarity_thresholds(vgg, days, to_tensor([scene.background], device))
        log.info("EleSim thresholds %s", ", ".join(f"{t:.3f}" for t in self.thresholds))

    def loss(self, output: Tensor, night: Tensor, reference: Tensor, step: int) -> LossSum:
        """The terms of the generator's loss.

        Args:
            output: x_N→D, float (N, 3, H, W) in [0, 1], with gradient.
            night: x_N.
            reference: x_ref of the same crops.
            step: of the training, by which the floor under M falls.
        """
        s = self.settings
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.mixed):
            with torch.no_grad():
                night_features, reference_features = self.vgg(night), self.vgg(reference)
            output_features = self.vgg(output)
            self.discriminator.requires_grad_(False)
            score = self.discriminator(output)
            self.discriminator.requires_grad_(True)
        losses = dico_losses(
            fake=[f.float() for f in output_features],
            night=[f.float() for f in night_features],
            reference=[f.float() for f in reference_features],
            score_fake=score.float(),
            thresholds=self.thresholds,
            settings=s.losses,
            mask_floor=max(0.0, 1 - (step - s.unpaired_start) / max(1, s.mask_warmup)),
        )
        found = LossSum(self.device)
        found.total = losses.total
        found.terms |= {
            "adversarial": losses.adversarial,
            "background": losses.background,
            "foreground": losses.foreground,
        }
        if s.reference_weight > 0:
            mask = resized_mask(losses.masks[0], output)
            found.add("reference", weighted_l1(output, reference, mask), s.reference_weight)
        return found

    def train_discriminator(self, real: Tensor, output: Tensor) -> Tensor:
        """One step of the discriminator on days and outputs, (N, 3, H, W) each; gives its loss."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.mixed):
            scores = self.discriminator(real), self.discriminator(output)
        loss = discriminator_loss(scores[0].float(), scores[1].float())
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        processes.average_gradients(self.discriminator)
        self.optimiser.step()
        return loss
