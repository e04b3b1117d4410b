"""CycleGAN and CUT, their losses written from the papers, around this project's generators and discriminator.

Networks, crops, optimiser steps and seeds are those of the other methods; only the losses are theirs. Their
generators see RGB. Differences to the published code: no anti-aliased resampling in CUT's networks, and
resize-then-convolve in place of transposed convolutions, both as in every other method here.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nightday.engines.model.generator import NightToDay
from nightday.engines.model.networks import ResnetGenerator
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.augment import Augmenter
from nightday.train.footage.scene import Image, Scene
from nightday.train.objectives.dico_losses import adversarial_loss, discriminator_loss
from nightday.train.objectives.discriminator import PatchDiscriminator

RATE = 2e-4


class Rival(ABC):
    """What both share: data, networks' rate, one step a call. ``model`` is the night-to-day generator."""

    def __init__(
        self,
        scene: Scene,
        generator: GeneratorSettings,
        *,
        crop: tuple[int, int],
        steps: int,
        seed: int,
        device: str = "cpu",
        mixed: bool = False,
    ) -> None:
        torch.manual_seed(seed)
        self.scene, self.steps, self.step = scene, steps, 0
        self.device, self.mixed = torch.device(device), mixed
        self.rng = np.random.default_rng(seed)
        self.augment = Augmenter(scene, crop, flip=True)
        self.model = NightToDay(generator).to(self.device)
        self.optimisers: list[torch.optim.Adam] = []

    def run_step(self) -> None:
        """One step of every network, at a rate that is constant for half the steps and then falls linearly to 0."""
        rate = RATE * min(1.0, 2 * (1 - self.step / self.steps))
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = rate
        night, day = (self._crop(images) for images in (self.scene.night, self.scene.day))
        self._learn(night, day)
        self.step += 1

    @abstractmethod
    def _learn(self, night: Tensor, day: Tensor) -> None:
        """One step on a night and a day, float (1, 3, H, W) in [0, 1] each."""

    def _crop(self, images: list[Image]) -> Tensor:
        picture = self.augment.crop(self.rng)(images[self.rng.integers(len(images))])
        return torch.from_numpy(picture).to(self.device).permute(2, 0, 1)[None].float() / 255

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed)

    def _adam(self, parameters: Iterator[nn.Parameter]) -> torch.optim.Adam:
        optimiser = torch.optim.Adam(parameters, lr=RATE, betas=(0.5, 0.999))
        self.optimisers.append(optimiser)
        return optimiser


def _update(optimiser: torch.optim.Adam, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


class CycleGan(Rival):
    """Zhu et al., ICCV 2017: LSGAN both ways, 10 · cycle L1, 5 · identity L1, a pool of 50 fakes."""

    CYCLE, IDENTITY, POOL = 10.0, 5.0, 50

    def __init__(self, scene: Scene, generator: GeneratorSettings, **settings: object) -> None:
        super().__init__(scene, generator, **settings)  # type: ignore[arg-type]
        self.back = NightToDay(generator).to(self.device)
        self.judge_day, self.judge_night = (PatchDiscriminator().to(self.device) for _ in range(2))
        self._generators = self._adam(itertools.chain(self.model.parameters(), self.back.parameters()))
        self._judges = self._adam(itertools.chain(self.judge_day.parameters(), self.judge_night.parameters()))
        self._pools: tuple[list[Tensor], list[Tensor]] = ([], [])

    def _learn(self, night: Tensor, day: Tensor) -> None:
        judges = (self.judge_day, self.judge_night)
        for judge in judges:
            judge.requires_grad_(False)
        with self._autocast():
            fake_day, fake_night = self.model.translate(night), self.back.translate(day)
            cycles = self.back.translate(fake_day) - night, self.model.translate(fake_night) - day
            same = self.model.translate(day) - day, self.back.translate(night) - night
            scores = self.judge_day(fake_day), self.judge_night(fake_night)
        loss = sum((adversarial_loss(score.float()) for score in scores), start=night.new_zeros(()))
        loss = loss + sum(self.CYCLE * 2 * c.float().abs().mean() for c in cycles)  # 2: theirs lie in [-1, 1]
        loss = loss + sum(self.IDENTITY * 2 * s.float().abs().mean() for s in same)
        _update(self._generators, loss)
        for judge in judges:
            judge.requires_grad_(True)
        pooled = [
            self._pooled(pool, fake.detach().float())
            for pool, fake in zip(self._pools, (fake_day, fake_night), strict=True)
        ]
        with self._autocast():
            pairs = [
                (judge(real), judge(fake))
                for judge, real, fake in zip(judges, (day, night), pooled, strict=True)
            ]
        losses = [discriminator_loss(real.float(), fake.float()) / 2 for real, fake in pairs]
        _update(self._judges, losses[0] + losses[1])

    def _pooled(self, pool: list[Tensor], fake: Tensor) -> Tensor:
        """One of the last fakes or this one (Shrivastava et al., CVPR 2017)."""
        if len(pool) < self.POOL:
            pool.append(fake)
            return fake
        if self.rng.random() < 0.5:
            return fake
        i = int(self.rng.integers(self.POOL))
        old, pool[i] = pool[i], fake
        return old


class Cut(Rival):
    """Park et al., ECCV 2020: LSGAN, PatchNCE from night to output and, as its identity term, from day to day.

    Features of the generator's own encoder at its input, its two halvings, its first block and its fifth; 256
    places a layer through a two-layer MLP each, τ 0.07, negatives from the same picture.
    """

    PLACES, TEMPERATURE, WIDTH = 256, 0.07, 256

    def __init__(self, scene: Scene, generator: GeneratorSettings, **settings: object) -> None:
        super().__init__(scene, generator, **settings)  # type: ignore[arg-type]
        self._shape(generator)
        w = generator.width
        channels = (3, 2 * w, 4 * w, 4 * w, 4 * w)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, self.WIDTH), nn.ReLU(), nn.Linear(self.WIDTH, self.WIDTH))
            for c in channels
        ).to(self.device)
        for module in self.heads.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)
        self.judge = self._new_judge().to(self.device)
        self._generator = self._adam(self.model.parameters())
        self._heads = self._adam(self.heads.parameters())
        self._judge = self._adam(self.judge.parameters())

    def _shape(self, generator: GeneratorSettings) -> None:
        """Say at which of the generator's layers features are taken."""
        self.taps = (0, 4, 7, 10, 10 + min(4, generator.blocks - 1))

    def _new_judge(self) -> nn.Module:
        return PatchDiscriminator()

    def _layers(self) -> nn.Sequential:
        assert isinstance(self.model.generator, ResnetGenerator)
        return self.model.generator.layers

    def _learn(self, night: Tensor, day: Tensor) -> None:
        with self._autocast():
            fake, same = self.model.translate(torch.cat((night, day))).chunk(2)
            self.judge.requires_grad_(False)
            score = self.judge(fake)
            self.judge.requires_grad_(True)
        loss = adversarial_loss(score.float()) + (self._nce(night, fake) + self._nce(day, same)) / 2
        self._heads.zero_grad(set_to_none=True)
        _update(self._generator, loss)
        self._heads.step()
        with self._autocast():
            scores = self.judge(day), self.judge(fake.detach())
        _update(self._judge, discriminator_loss(scores[0].float(), scores[1].float()) / 2)

    def _features(self, rgb: Tensor) -> list[Tensor]:
        x, taken = self.model.see(rgb), []
        for i, layer in enumerate(self._layers()):
            x = layer(x)
            if i in self.taps:
                taken.append(x)
            if i == self.taps[-1]:
                return taken + [x] * (self.taps.count(i) - 1)
        raise AssertionError("the generator is shorter than the taps")

    def _nce(self, source: Tensor, target: Tensor) -> Tensor:
        with self._autocast():
            queries, keys = self._features(target), self._features(source)
        losses = []
        for query, key, head in zip(queries, keys, self.heads, strict=True):
            flat_query, flat_key = (x.float()[0].flatten(1).T for x in (query, key))
            at = torch.randperm(len(flat_query), device=self.device)[: self.PLACES]
            q = F.normalize(head(flat_query[at]), dim=1)
            with torch.no_grad():
                k = F.normalize(head(flat_key[at]), dim=1)
            losses.append(
                F.cross_entropy(q @ k.T / self.TEMPERATURE, torch.arange(len(at), device=self.device))
            )
        return torch.stack(losses).mean()


RIVALS: dict[str, Callable[..., Rival]] = {"cyclegan": CycleGan, "cut": Cut}
