"""The training loop: paired steps under the randomised night simulation, unpaired steps by the paper's terms."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nightday.engines.errors import CheckpointError
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.engines.model.generator import COMPACT, GeneratorSettings, NightToDay
from nightday.engines.model.qualification_frames import pack

from .. import processes
from ..footage.augment import Augmenter, Crop, put_in, shaded
from ..footage.night_simulation import NightSimulator, foreground_mask, random_conditions
from ..footage.scene import Image, Scene, SceneError, write_picture
from ..footage.stationary import still_places
from ..objectives.detector_features import DetectorFeatures
from ..objectives.dico_losses import DicoLosses, LossSettings, dico_losses, discriminator_loss
from ..objectives.discriminator import PatchDiscriminator
from ..objectives.elesim import elesim, similarity_thresholds
from ..objectives.vgg import Vgg16Features

log = logging.getLogger("nightday.train")

Recipe = Literal["dico", "paired", "paired+dico", "blend"]
Device = Literal["cpu", "cuda"]

GAN_RATE = 2e-4  # CycleGAN, CUT and their kin
PAIRED_RATE = 1e-3
NOISE = 0.06  # standard deviation at most, share of white: a camera's at night
LAYERS = 3.0  # weight of a blending ResNet's layers
MASK = 0.3  # weight of the mask's cross-entropy beside the L1 of what is drawn
MIN_CROP = 32  # pixels; the discriminator's scores and VGG's deepest maps are empty below


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """One training run.

    Attributes:
        recipe: ``dico`` is the paper's method alone; ``paired`` regresses the camera's day frames from their
            simulated nights; ``paired+dico`` starts with that and adds the paper's terms on real nights; ``blend`` is
            ``paired`` by name, which ``default_settings`` has blend x_ref in and learn from real nights too.
        generator: the model's shape.
        losses: weights and readings of the paper's terms.
        see_reference: give the generator x_ref as an input too; the model then holds that picture.
        blend: have it draw a mask with which x_ref is blended in; wants ``see_reference``.
        start_from: a checkpoint whose weights to start with, or none.
        teacher: a checkpoint whose outputs on real nights are to be learned as well, or none.
        steps: optimiser steps.
        batch: crops a step, of each kind (paired, unpaired).
        pairs: pairs a step where they are to be others than ``batch``; they cost less than unpaired crops.
        crop: (height, width) of the crops in pixels, multiples of 16, cut to the frame.
        flip: mirror half the crops, as the paper's kin do.
        learning_rate: of the generator's Adam; constant for half the steps, then linearly to 0. None takes 2e-4
            for ``dico``, as its kin do, and 1e-3 for the regression. The discriminator's is 2e-4.
        unpaired_from: share of the steps after which ``paired+dico`` adds the paper's terms.
        paired_weight: weight of the paired L1.
        foreground_weight: how much more a foreground pixel counts in it.
        feature_weight: weight of the paired L1 between VGG features, of which L1 of pixels alone leaves a blur.
        detector: an ultralytics model whose feature maps are compared as well, or none.
        detector_weight: weight of that comparison.
        others_share: share of the pairs that come from other cameras, where there are any.
        shade: powers of two by which the light on a pair's night differs from place to place from that of its day, at
            most. x_ref holds one hour's shadows, and a night has none of them.
        reference_weight: weight of |x_N→D - x_ref| under M, a pixel term beside L_back: random features let
            fine noise through. 0 is the paper's.
        teacher_weight: weight of the L1 to the teacher's output.
        steady_weight: weight of the L1 between the outputs of a night and of the same night with other noise: what
            a still camera's picture changes by from frame to frame is noise, and should not be seen by day.
        still_weight: weight of |x_N→D - x_ref| on real nights where they agree with the nights' own median: there the
            camera sees its background, whatever the lamps do to it. No simulation knows those. Into half of them goes
            what moves by day, in their own light.
        layers_weight: weight of what a generator that blends draws, L1 to the day where something moves, and of its
            mask, the cross-entropy of α with where that is, ``MASK`` times as much. None takes ``LAYERS`` for a
            ResNet that blends, else 0. By the blended picture alone a ResNet's α soon is 0, x_ref being nearly right
            nearly everywhere, and from there neither α nor what is drawn learns on: it shows x_ref for ever. The
            light generator's α does not die, and has gained nothing from this after a thousand steps.
        mask_warmup: steps over which the floor under M falls from 1 to 0.
        vgg: weights of ζ: imagenet, orthogonal, or a path.
        seed: of everything random.
        device: cpu or cuda.
        mixed: bfloat16 for convolutions; the invariant and the losses stay float32.
        sample_every, save_every: steps between sample grids and between resumable states.
    """

    recipe: Recipe = "paired"
    generator: GeneratorSettings = COMPACT
    losses: LossSettings = field(default_factory=LossSettings)
    see_reference: bool = False
    blend: bool = False
    start_from: str | None = None
    teacher: str | None = None
    steps: int = 8000
    batch: int = 4
    pairs: int | None = None
    crop: tuple[int, int] = (144, 176)
    flip: bool = False
    learning_rate: float | None = None
    unpaired_from: float = 0.5
    paired_weight: float = 10.0
    foreground_weight: float = 2.0
    feature_weight: float = 0.0
    detector: str | None = None
    detector_weight: float = 0.0
    others_share: float = 0.5
    shade: float = 0.0
    reference_weight: float = 0.0
    teacher_weight: float = 10.0
    steady_weight: float = 0.0
    still_weight: float = 0.0
    layers_weight: float | None = None
    mask_warmup: int = 300
    vgg: str = "orthogonal"
    seed: int = 0
    device: Device = "cpu"
    mixed: bool = False
    sample_every: int = 500
    save_every: int = 250

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "sample_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.pairs is not None and self.pairs < 1:
            raise ValueError(f"pairs={self.pairs}: must be at least 1")
        rate = self.learning_rate
        if rate is not None and not 0 < rate < 1:
            raise ValueError(f"learning_rate={rate}: must be above 0 and below 1")
        for name in ("unpaired_from", "others_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be a share, from 0 to 1")
        if not 0 <= self.shade <= 4:
            raise ValueError(f"shade={self.shade}: must be from 0 to 4 powers of two")
        weights = {
            name: getattr(self, name)
            for name in (
                "paired_weight",
                "foreground_weight",
                "feature_weight",
                "detector_weight",
                "reference_weight",
                "teacher_weight",
                "steady_weight",
                "still_weight",
            )
        }
        weights |= {name: getattr(self.losses, name) for name in ("adversarial", "background", "foreground")}
        if self.layers_weight is not None:
            weights["layers_weight"] = self.layers_weight
        for name, value in weights.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value}: a weight must be finite and not below 0")
        if self.detector_weight > 0 and self.detector is None:
            raise ValueError(f"detector_weight={self.detector_weight}: wants a detector")
        if self.blend and not self.see_reference:
            raise ValueError("blend=True: wants see_reference=True, there is nothing to blend with")
        if self.layers_weight and not self._has_layers:
            raise ValueError(f"layers_weight={self.layers_weight}: wants blend=True and pairs")
        if any(side < MIN_CROP or side % 16 for side in self.crop):
            raise ValueError(f"crop={self.crop}: must be multiples of 16, at least {MIN_CROP}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: must not be below 0")

    @property
    def _has_layers(self) -> bool:
        return self.blend and self.recipe != "dico"

    @property
    def layers(self) -> float:
        """``layers_weight``, or what None stands for."""
        if self.layers_weight is not None:
            return self.layers_weight
        return LAYERS if self._has_layers and self.generator.kind == "resnet" else 0.0


def default_settings(recipe: Recipe) -> TrainSettings:
    """The settings a recipe starts from.

    ``dico`` has the paper's weights, all 1. ``paired+dico`` weighs L_fore, which pulls towards the night's own
    look, below L_back and the distance to x_ref. ``blend`` weighs what moves most: a generator that is shown x_ref
    otherwise does no more than show it on.
    """
    settings = TrainSettings(recipe=recipe)
    if recipe == "blend":
        return replace(
            settings,
            see_reference=True,
            blend=True,
            foreground_weight=10.0,
            still_weight=5.0,
            shade=1.5,
        )
    if recipe != "paired+dico":
        return settings
    losses = replace(settings.losses, background=10.0, foreground=0.5, centre=True)
    return replace(settings, losses=losses, reference_weight=5.0)


class TrainingError(ValueError):
    """Training cannot go on. One line, with the way out."""


class ResumeError(ValueError):
    """The run's folder holds a state of another run. One line, with the way out."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A day crop, uint8 (h, w, 3), its simulated night, its foreground, bool (h, w), and what x_ref shows there."""

    day: Image
    night: Image
    foreground: NDArray[np.bool_]
    reference: Image


class Trainer:
    """Trains one model on one scene, in a folder of its own.

    The folder holds ``state.pt`` (everything needed to go on; bit for bit on the same CPU), ``model.pt``
    (the checkpoint), ``samples/*.png`` and ``log.jsonl`` (written by the command).

    Args:
        scene: the camera.
        settings: of the run.
        folder: of the run.
        others: other cameras, whose days become pairs as well: more moving things, and places that cannot be learnt
            by heart.
    """

    def __init__(
        self, scene: Scene, settings: TrainSettings, folder: Path, *, others: Sequence[Scene] = ()
    ) -> None:
        self.scene, self.settings, self.folder = scene, settings, folder
        self.device = torch.device(settings.device)
        torch.manual_seed(settings.seed)
        self.rng = np.random.default_rng(settings.seed)
        self.step = 0
        self.model = self._first_model().to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.paired = settings.recipe != "dico"
        self.teacher = load_checkpoint(settings.teacher).to(self.device) if settings.teacher else None
        self.optimiser = torch.optim.Adam(self.model.parameters(), betas=(0.9 if self.paired else 0.5, 0.999))
        crop = settings.crop
        for camera in (scene, *others):
            height, width = camera.background.shape[:2]
            if min(height, width) < MIN_CROP:
                raise SceneError(
                    f"{camera.name}: pictures are {width}×{height}; at least {MIN_CROP}×{MIN_CROP} is needed"
                )
            crop = (min(crop[0], height // 16 * 16), min(crop[1], width // 16 * 16))
        self.golden = pack(scene.night)
        self.augment = Augmenter(scene, crop, flip=settings.flip)
        self.others = [Augmenter(other, crop, flip=settings.flip) for other in others]
        self.pictures = _fingerprint(scene, others)
        self.unpaired_start = {
            "dico": 0,
            "paired": settings.steps,
            "blend": settings.steps,
            "paired+dico": round(settings.unpaired_from * settings.steps),
        }[settings.recipe]
        if settings.still_weight > 0:
            if not scene.night:
                raise SceneError(
                    f"{scene.name}: no night picture to learn its background from; give some in night/"
                )
            self.still = still_places(scene)
        if self.unpaired_start < settings.steps or (self.paired and settings.feature_weight > 0):
            self.vgg = Vgg16Features(settings.vgg).to(self.device)
        if settings.detector is not None and settings.detector_weight > 0:
            self.detector = DetectorFeatures(settings.detector).to(self.device)
        if self.unpaired_start < settings.steps:
            self.discriminator = PatchDiscriminator().to(self.device)
            self.optimiser_d = torch.optim.Adam(self.discriminator.parameters(), betas=(0.5, 0.999))
            picks = np.linspace(0, len(scene.day) - 1, 12).round().astype(int)
            self.thresholds = similarity_thresholds(
                self.vgg, (self._tensor([scene.day[i]]) for i in picks), self._tensor([scene.background])
            )
            log.info("EleSim thresholds %s", ", ".join(f"{t:.3f}" for t in self.thresholds))
        if processes.rank() > 0:  # the same weights to begin with, other crops and noise
            torch.manual_seed(settings.seed + processes.rank())
            self.rng = np.random.default_rng((settings.seed, processes.rank()))

    def _first_model(self) -> NightToDay:
        s = self.settings
        height, width = self.scene.background.shape[:2]
        generator = replace(
            s.generator, reference=(height, width) if s.see_reference else None, blend=s.blend
        )
        if s.start_from is None:
            model = NightToDay(generator)
        else:
            model = load_checkpoint(s.start_from).train()
            if None not in (model.settings.reference, generator.reference):
                model = model.at_place(torch.zeros(3, height, width, dtype=torch.uint8))
            if model.settings != generator:
                raise CheckpointError(
                    f"{s.start_from}: is {model.settings}, this run's is {generator}; make them agree"
                )
        if s.see_reference:
            model.reference.copy_(torch.from_numpy(self.scene.background).permute(2, 0, 1))
        return model

    def _tensor(self, images: list[Image]) -> Tensor:
        """uint8 (H, W, 3) each → float (N, 3, H, W) in [0, 1] on the device."""
        batch = torch.from_numpy(np.stack(images)).to(self.device)
        return batch.permute(0, 3, 1, 2).float().div(255)

    def _places(self, maps: Sequence[NDArray[Any]]) -> Tensor:
        """(H, W) each → (N, 1, H, W) on the device."""
        return torch.from_numpy(np.stack(maps)).to(self.device)[:, None]

    # --- one step -------------------------------------------------------------------------------------------

    def run_step(self) -> dict[str, float]:
        """One optimiser step; returns the terms by name."""
        s = self.settings
        self._set_learning_rate()
        unpaired = self.step >= self.unpaired_start
        terms: dict[str, Tensor] = {}
        nights: list[Image] = []
        crops: list[Crop] = []
        if self.paired:
            pairs = [self._pair() for _ in range(s.pairs or s.batch)]
            nights += [pair.night for pair in pairs]
        real = slice(len(nights), None)
        if unpaired or self.teacher is not None or s.still_weight > 0:
            crops += [self.augment.crop(self.rng) for _ in range(s.batch)]
            picked = [int(self.rng.integers(len(self.scene.night))) for _ in crops]
            real_nights = [crop(self.scene.night[i]) for crop, i in zip(crops, picked, strict=True)]
            if s.still_weight > 0:
                some = zip(crops, real_nights, picked, strict=True)
                filled, wanted_days, weights, moved = zip(*(self._peopled(*one) for one in some), strict=True)
                real_nights = list(filled)
            nights += real_nights

        # One forward pass for all kinds: batch normalisation then sees them together.
        x = self._tensor(nights).contiguous(memory_format=torch.channels_last)
        seen = None
        if s.see_reference:
            own = [crop(self.scene.background) for crop in crops]
            seen = self._tensor([pair.reference for pair in pairs] + own if self.paired else own)
        inputs, references = x, seen
        if s.steady_weight > 0:
            inputs = torch.cat((x, self._noisy(x)))
            references = None if seen is None else seen.repeat(2, 1, 1, 1)
        layered = s.layers > 0
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.mixed):
            if layered:
                fake, drawn, mask = self.model.translate_in_layers(inputs, references)
            else:
                fake = self.model.translate(inputs, references)
        fake = fake.float()
        loss = fake.new_zeros(())
        if s.steady_weight > 0:
            fake, again = fake.chunk(2)
            terms["steady"] = (fake - again).abs().mean()
            loss = loss + s.steady_weight * terms["steady"]
        if self.paired:
            day = self._tensor([pair.day for pair in pairs])
            moving = self._places([pair.foreground for pair in pairs])
            weight = 1 + s.foreground_weight * moving.float()
            terms["paired"] = (weight * (fake[: len(pairs)] - day).abs()).sum() / (3 * weight.sum())
            loss = loss + s.paired_weight * terms["paired"]
            if s.feature_weight > 0:
                terms["features"] = self._feature_difference(fake[: len(pairs)], day)
                loss = loss + s.feature_weight * terms["features"]
            if s.detector_weight > 0:
                terms["detector"] = self.detector.difference(fake[: len(pairs)], day)
                loss = loss + s.detector_weight * terms["detector"]
        if self.teacher is not None:
            whole = None if seen is None or self.teacher.settings.reference is None else seen[real]
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=s.mixed):
                taught = self.teacher.translate(x[real], whole).float()
            terms["teacher"] = (fake[real] - taught).abs().mean()
            loss = loss + s.teacher_weight * terms["teacher"]
        if s.still_weight > 0:
            wanted = self._tensor(list(wanted_days))
            weight = self._places(weights)
            terms["still"] = (weight * (fake[real] - wanted).abs()).sum() / (3 * weight.sum()).clamp_min(1)
            loss = loss + s.still_weight * terms["still"]
        if layered:
            still = ~moving
            if s.still_weight > 0:  # else there are pairs alone
                inserted = self._places(moved)
                day, moving = torch.cat((day, wanted)), torch.cat((moving, inserted))
                still = torch.cat((still, (weight > 0) & ~inserted))
            count = len(day)
            terms["drawn"] = _mean_where(moving, (drawn[:count].float() - day).abs())
            terms["mask"] = _mask_difference(mask[:count].float(), moving, still)
            loss = loss + s.layers * (terms["drawn"] + MASK * terms["mask"])
        if unpaired:
            generated = fake[real]
            loss = loss + self._dico(generated, x[real], crops, terms)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.step + 1}; what was saved before is untouched: "
                "go on from it with --start-from and a lower --learning-rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        processes.average_gradients(self.model)
        self.optimiser.step()
        processes.average_buffers(self.model)
        if unpaired:
            terms["discriminator"] = self._train_discriminator(generated.detach())
        self.step += 1
        return {name: float(value.detach()) for name, value in terms.items()}

    def _set_learning_rate(self) -> None:
        s = self.settings
        decay = min(1.0, 2 * (1 - self.step / s.steps))
        rate = s.learning_rate or (PAIRED_RATE if self.paired else GAN_RATE)
        self.optimiser.param_groups[0]["lr"] = rate * decay
        if hasattr(self, "optimiser_d"):
            self.optimiser_d.param_groups[0]["lr"] = GAN_RATE * decay

    def _pick(self, images: list[Image]) -> Image:
        return images[self.rng.integers(len(images))]

    def _pair(self) -> _Pair:
        """A day crop of this camera or another, and its simulated night."""
        camera = self._camera()
        crop = camera.crop(self.rng)
        day, mask = camera.day(self.rng, crop)
        lit = day if self.settings.shade == 0 else shaded(self.rng, day, self.settings.shade)
        night = NightSimulator(random_conditions(self.rng), mask.shape, self.rng)(lit, mask)
        return _Pair(day, night, mask, crop(camera.background))

    def _camera(self) -> Augmenter:
        if self.others and self.rng.random() < self.settings.others_share:
            return self.others[self.rng.integers(len(self.others))]
        return self.augment

    def _peopled(
        self, crop: Crop, night: Image, number: int
    ) -> tuple[Image, Image, NDArray[np.float32], NDArray[np.bool_]]:
        """A real night, its day, which is x_ref, each pixel's weight, and where something moves, as in half of them.

        Without that a generator learns that real nights, which it tells from simulated ones, are always empty. What
        moves is of this camera's days or another's.
        """
        wanted, weight = crop(self.scene.background), crop(self.still[number]).astype(np.float32)
        if self.rng.random() < 0.5:
            return night, wanted, weight, np.zeros(weight.shape, bool)
        camera = self._camera()
        day, mask = camera.day(self.rng, crop if camera is self.augment else camera.crop(self.rng))
        night, wanted, mask = put_in(self.rng, night, wanted, day, mask)
        weight = np.where(mask, 1 + self.settings.foreground_weight, weight).astype(np.float32)
        return night, wanted, weight, mask

    def _feature_difference(self, fake: Tensor, day: Tensor) -> Tensor:
        """Σ_k mean |ζ_k(fake) - ζ_k(day)|."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.mixed):
            with torch.no_grad():
                wanted = self.vgg(day)
            made = self.vgg(fake)
        return torch.stack(
            [(m.float() - w.float()).abs().mean() for m, w in zip(made, wanted, strict=True)]
        ).sum()

    def _noisy(self, x: Tensor) -> Tensor:
        """The nights with more noise, up to ``NOISE`` and more where there is light, as a sensor's."""
        level = NOISE * torch.rand(x.shape[0], 1, 1, 1, device=self.device)
        return (x + level * (0.3 + x.sqrt()) * torch.randn_like(x)).clamp(0, 1)

    def _dico(self, fake: Tensor, night: Tensor, crops: list[Crop], terms: dict[str, Tensor]) -> Tensor:
        s = self.settings
        reference = self._tensor([crop(self.scene.background) for crop in crops])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.mixed):
            with torch.no_grad():
                night_features, reference_features = self.vgg(night), self.vgg(reference)
            fake_features = self.vgg(fake)
            self.discriminator.requires_grad_(False)
            score = self.discriminator(fake)
            self.discriminator.requires_grad_(True)
        losses = dico_losses(
            fake=[f.float() for f in fake_features],
            night=[f.float() for f in night_features],
            reference=[f.float() for f in reference_features],
            score_fake=score.float(),
            thresholds=self.thresholds,
            settings=s.losses,
            mask_floor=max(0.0, 1 - (self.step - self.unpaired_start) / max(1, s.mask_warmup)),
        )
        terms["adversarial"], terms["background"] = losses.adversarial, losses.background
        terms["foreground"] = losses.foreground
        total = losses.total
        if s.reference_weight > 0:
            mask = self._pixel_mask(losses, fake)
            terms["reference"] = (mask * (fake - reference).abs()).sum() / (3 * mask.sum()).clamp_min(1)
            total = total + s.reference_weight * terms["reference"]
        return total

    def _pixel_mask(self, losses: DicoLosses, like: Tensor) -> Tensor:
        return nn.functional.interpolate(losses.masks[0], size=like.shape[-2:], mode="nearest")

    def _train_discriminator(self, fake: Tensor) -> Tensor:
        s = self.settings
        real = self._tensor([self.augment.crop(self.rng)(self._pick(self.scene.day)) for _ in range(s.batch)])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.mixed):
            scores = self.discriminator(real), self.discriminator(fake)
        loss = discriminator_loss(scores[0].float(), scores[1].float())
        self.optimiser_d.zero_grad(set_to_none=True)
        loss.backward()
        processes.average_gradients(self.discriminator)
        self.optimiser_d.step()
        return loss

    # --- the loop -------------------------------------------------------------------------------------------

    def run(
        self, progress: Callable[[int, dict[str, float]], None], stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Train from the present step to the last; ``progress`` hears of every step, ``stop`` ends it early.

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

    @torch.no_grad()
    def write_sample(self) -> Path:
        """Rows of (night, output, x_ref, mask at relu3-1), two nights and two simulated ones, as a PNG.

        Process 0 writes.
        """
        path = self.folder / "samples" / f"{self.step:06d}.png"
        if processes.rank() > 0:
            return path
        rng = np.random.default_rng(self.settings.seed)
        nights = [*self.scene.night[:1], *self.scene.night[1:][-1:]]
        if self.paired:
            for i in np.linspace(0, len(self.scene.day) - 1, 2).round().astype(int):
                day = self.scene.day[i]
                simulate = NightSimulator(random_conditions(rng), day.shape[:2], rng)
                nights.append(simulate(day, foreground_mask(day, self.scene.background)))
        rows = [np.hstack((n, o, self.scene.background, m)) for n, o, m in (self._show(n) for n in nights)]
        write_picture(path, np.vstack(rows))
        return path

    def _show(self, night: Image) -> tuple[Image, Image, Image]:
        self.model.eval()
        output = self.model(torch.from_numpy(night[None]).to(self.device))[0].cpu().numpy()
        self.model.train()
        if hasattr(self, "thresholds"):
            features = self.vgg(self._tensor([output])), self.vgg(self._tensor([self.scene.background]))
            mask = (elesim(features[0][0], features[1][0])[0, 0] > self.thresholds[0]).cpu().numpy()
        else:
            mask = ~foreground_mask(output, self.scene.background)
        grey = cv2.resize(mask.astype(np.uint8) * 255, night.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        return night, output, np.repeat(grey[..., None], 3, axis=2)

    # --- saving and resuming --------------------------------------------------------------------------------

    def _modules(self) -> dict[str, Any]:
        names = ("model", "optimiser", "discriminator", "optimiser_d")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def save(self) -> None:
        """Write ``state.pt`` and ``model.pt``, each atomically. Process 0 writes; all must call."""
        random = processes.gather((torch.get_rng_state(), self.rng.bit_generator.state))
        if processes.rank() > 0:
            return
        state = {
            "settings": asdict(self.settings),
            "scene": self.pictures,
            "step": self.step,
            "torch_rng": [drawn for drawn, _ in random],
            "numpy_rng": [drawn for _, drawn in random],
            **{name: module.state_dict() for name, module in self._modules().items()},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / "state.pt.part"
        torch.save(state, part)
        os.replace(part, self.folder / "state.pt")
        save_checkpoint(
            self.folder / "model.pt", self.model, training=self.card(), qualification_frames=self.golden
        )

    def card(self) -> dict[str, Any]:
        """What a checkpoint says about its training."""
        return {
            "scene": self.scene.name,
            "side": min(self.scene.background.shape[:2]),
            "step": self.step,
            "day_frames": len(self.scene.day),
            "night_frames": len(self.scene.night),
            "settings": _plain(asdict(self.settings)),
        }

    def resume(self) -> bool:
        """Go on from ``state.pt`` if there is one. Raises ResumeError if it belongs to another run."""
        path = self.folder / "state.pt"
        if not path.is_file():
            return False
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            raise ResumeError(
                f"{path}: unreadable ({type(error).__name__}); delete it to start anew"
            ) from None
        if not isinstance(state, dict) or not {"settings", "scene", "step", *self._modules()} <= state.keys():
            raise ResumeError(f"{path}: not the state of such a run; delete it or use another --out")
        mine, theirs = _plain(asdict(self.settings)), _plain(state["settings"])
        changed = sorted(k for k in mine if mine[k] != theirs.get(k))
        if changed or state["scene"] != self.pictures:
            what = ", ".join(changed) or "scene"
            raise ResumeError(
                f"{path}: made with another {what}; use the same arguments, another --out, or delete it"
            )
        random = [state[name] for name in ("torch_rng", "numpy_rng")]
        # Of runs before several processes could train: one state, not a list of one.
        drawn_torch, drawn_numpy = (kept if isinstance(kept, list) else [kept] for kept in random)
        if len(drawn_torch) != processes.count():
            raise ResumeError(
                f"{path}: made by {len(drawn_torch)} processes, these are {processes.count()}; "
                "start as many, use another --out, or delete it"
            )
        for name, module in self._modules().items():
            module.load_state_dict(state[name])
        torch.set_rng_state(drawn_torch[processes.rank()].cpu())
        self.rng.bit_generator.state = drawn_numpy[processes.rank()]
        self.step = state["step"]
        return True


def _fingerprint(scene: Scene, others: Sequence[Scene] = ()) -> str:
    """What tells one run's pictures from another's: names, counts, sizes, and hashes of x_ref."""

    def told(camera: Scene) -> str:
        digest = hashlib.sha256(camera.background.tobytes()).hexdigest()[:16]
        return f"{camera.name} {len(camera.day)} {len(camera.night)} {camera.background.shape} {digest}"

    return "; ".join(map(told, (scene, *others)))


def _plain(value: Any) -> Any:
    """Tuples as lists, so that settings compare equal after a trip through a file."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _mean_where(where: Tensor, values: Tensor) -> Tensor:
    """The mean of ``values`` (N, C, H, W) where ``where``, bool (N, 1, H, W), is set; 0 where it is nowhere."""
    count = where.sum() * values.shape[1]
    return (where * values).sum() / count.clamp_min(1)


def _mask_difference(logit: Tensor, moving: Tensor, still: Tensor) -> Tensor:
    """Cross-entropy of a mask, as a logit, with 1 where something moves and 0 where it is still; elsewhere none."""
    wanted = moving.float()
    each = nn.functional.binary_cross_entropy_with_logits(logit, wanted, reduction="none")
    return _mean_where(moving | still, each)
