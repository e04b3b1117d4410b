"""The training loop: paired steps under the randomised night simulation, unpaired steps by the paper's terms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nightday.engines.bundled import bundled_weights
from nightday.engines.errors import CheckpointError, NightdayError
from nightday.engines.model.checkpoint import FIXED_CAMERA, load_checkpoint, save_checkpoint
from nightday.engines.model.generator import NightToDay

from .. import processes
from ..footage.scene import Scene
from . import qualification
from .objective import Objective
from .sampler import Sampler
from .samples import write_sample
from .settings import TrainSettings
from .state import RunState, Stateful, fingerprint, plain
from .tensors import to_tensor

log = logging.getLogger("nightday.train")

# Learning rates of Adam: that of CycleGAN, CUT and their kin, and that of the regression of pairs.
GAN_RATE = 2e-4
PAIRED_RATE = 1e-3


class TrainingError(NightdayError, ValueError):
    """Training cannot go on. One line, with the way out."""


class Trainer:
    """Trains one model on one scene, in a folder of its own.

    The folder holds ``state.pt`` (everything needed to go on; bit for bit on the same CPU), ``model.pt``
    (the checkpoint), ``samples/*.png`` and ``log.jsonl`` (written by the command).

    Args:
        scene: the camera.
        settings: of the run.
        folder: of the run.
        others: other cameras, whose days become pairs as well: more moving things, and places that cannot be learned
            by heart.
        model: what is trained, with the settings' shape; that of ``first_model`` unless given.

    Raises:
        SceneError: the pictures are too small, or there is no night to learn from.
        CheckpointError: a checkpoint to start from or to learn from cannot be had or does not fit.
        VggWeightsError, DetectorError: a network behind the loss cannot be had.
    """

    def __init__(
        self,
        scene: Scene,
        settings: TrainSettings,
        folder: Path,
        *,
        others: Sequence[Scene] = (),
        model: NightToDay | None = None,
    ) -> None:
        self.scene, self.settings, self.folder = scene, settings, folder
        self.device = torch.device(settings.device)
        torch.manual_seed(settings.seed)
        self.step = 0
        self.model = (model or first_model(scene, settings)).to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        betas = (0.9 if settings.paired else 0.5, 0.999)
        self.optimiser = torch.optim.Adam(self.model.parameters(), betas=betas)
        self.sampler = Sampler(scene, settings, others)
        self.qualification = qualification.of_scene(scene, backgrounds=settings.backgrounds)
        self.objective = Objective(scene, settings, self.device)
        if processes.rank() > 0:  # the same weights to begin with, other crops and noise
            torch.manual_seed(settings.seed + processes.rank())
            self.sampler.rng = np.random.default_rng((settings.seed, processes.rank()))
        parts: dict[str, Stateful] = {"model": self.model, "optimiser": self.optimiser}
        if self.objective.paper_terms is not None:
            parts["discriminator"] = self.objective.paper_terms.discriminator
            parts["optimiser_d"] = self.objective.paper_terms.optimiser
        self.state = RunState(
            folder / "state.pt", parts, settings, fingerprint(scene, others), self.sampler.rng
        )

    def run_step(self) -> dict[str, float]:
        """One optimiser step; returns the terms by name."""
        s = self.settings
        self._set_learning_rate()
        pairs = self.sampler.pairs() if s.paired else []
        real = self.sampler.real_nights() if self.objective.needs_real_nights(self.step) else []
        found, generated = self.objective.losses(self.model, pairs, real, self.step)
        if not torch.isfinite(found.total):
            raise TrainingError(
                f"the loss is {found.total.item()} at step {self.step + 1}; what was saved before is untouched: "
                "go on from it with --start-from and a lower --learning-rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(found.total)
        processes.average_gradients(self.model)
        self.optimiser.step()
        processes.average_buffers(self.model)
        paper_terms = self.objective.paper_terms
        if paper_terms is not None and self.step >= s.unpaired_start:
            days = to_tensor(self.sampler.day_crops(), self.device)
            found.terms["discriminator"] = paper_terms.train_discriminator(days, generated.detach())
        self.step += 1
        return {name: float(value.detach()) for name, value in found.terms.items()}

    def _set_learning_rate(self) -> None:
        s = self.settings
        decay = min(1.0, 2 * (1 - self.step / s.steps))
        rate = s.learning_rate or (PAIRED_RATE if s.paired else GAN_RATE)
        self.optimiser.param_groups[0]["lr"] = rate * decay
        if self.objective.paper_terms is not None:
            self.objective.paper_terms.optimiser.param_groups[0]["lr"] = GAN_RATE * decay

    def run(
        self, progress: Callable[[int, dict[str, float]], None], stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Train from the present step to the last; ``progress`` is called after every step, ``stop`` ends it early.

        Saves the state and a sample grid at their intervals, at the end, and when stopped.
        """
        s = self.settings
        while self.step < s.steps and not stop():
            terms = self.run_step()
            progress(self.step, terms)
            if self.step % s.sample_every == 0 and self.step < s.steps:
                self.write_sample()
            if self.step % s.save_every == 0 and self.step < s.steps:
                self.save()
        self.save()
        self.write_sample()

    def write_sample(self) -> None:
        """Write a sample grid of the present step. Process 0 writes."""
        if processes.rank() > 0:
            return
        path, s = self.folder / "samples" / f"{self.step:06d}.png", self.settings
        write_sample(
            path, self.model, self.scene, seed=s.seed, simulated=s.paired, terms=self.objective.paper_terms
        )

    def save(self) -> None:
        """Write ``state.pt`` and ``model.pt``, each atomically. Process 0 writes; all must call."""
        self.state.save(self.step)
        if processes.rank() == 0:
            save_checkpoint(
                self.folder / "model.pt",
                self.model,
                training=self.card(),
                qualification_frames=self.qualification.frames,
                qualification_backgrounds=self.qualification.backgrounds,
            )

    def card(self) -> dict[str, Any]:
        """What a checkpoint says about its training."""
        return {
            "scene": self.scene.name,
            "side": min(self.scene.background.shape[:2]),
            FIXED_CAMERA: self.scene.fixed_camera,
            "step": self.step,
            "day_frames": len(self.scene.day),
            "night_frames": len(self.scene.night),
            "settings": plain(asdict(self.settings)),
        }

    def resume(self) -> bool:
        """Go on from ``state.pt`` if there is one. Raises ResumeError if it belongs to another run."""
        step = self.state.load()
        self.step = self.step if step is None else step
        return step is not None


def first_model(scene: Scene, settings: TrainSettings) -> NightToDay:
    """The model before the first step: new, or that of ``start_from`` with this scene's x_ref.

    Raises:
        CheckpointError: that file cannot be used, or its shape is another.
    """
    height, width = scene.background.shape[:2]
    reference = (height, width) if settings.see_reference else None
    generator = replace(
        settings.generator, reference=reference, blend=settings.blend, backgrounds=settings.backgrounds
    )
    if settings.start_from is None:
        model = NightToDay(generator)
    else:
        general = settings.start_from == "general" and not Path("general").exists()
        start = bundled_weights("general.pt") if general else settings.start_from
        model = load_checkpoint(start).train()
        if None not in (model.settings.reference, generator.reference):
            model = model.at_place(torch.zeros(3, height, width, dtype=torch.uint8))
        if model.settings != generator:
            raise CheckpointError(
                f"{settings.start_from}: is {model.settings}, this run's is {generator}; make them agree"
            )
    if settings.see_reference:
        model.reference.copy_(torch.from_numpy(scene.background).permute(2, 0, 1))
    return model
