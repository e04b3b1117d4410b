"""What the study compares: the paper's method and its ablations, its rivals, the trivial answers, and our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from benchmarks.study.rivals import RIVALS
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import COMPACT, LIGHT, PAPER, GeneratorSettings
from nightday.train.footage.evidence import relit_paste
from nightday.train.footage.scene import Image, Scene, temporal_median
from nightday.train.run import translation
from nightday.train.run.settings import LAYERS, TrainSettings, default_settings
from nightday.train.run.trainer import Trainer
from nightday.train.scores.baselines import clahe, gamma, gamma_to

Size = Literal["compact", "paper"]
SIZES: dict[Size, GeneratorSettings] = {"compact": replace(COMPACT, norm="instance"), "paper": PAPER}


class Learner(Protocol):
    """What a training run is to the study."""

    model: NightToDay

    def run_step(self) -> object:
        """One optimiser step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every trained method gets, the same for all.

    Attributes:
        steps: optimiser steps, a crop of each kind a step.
        crop: side of the crops, pixels.
        size: the generator's.
        vgg: weights of ζ.
        device, mixed: where and how precisely.
        general: a model of other cameras to start from, for the methods that do.
        others: these cameras, which go on giving pairs.
    """

    steps: int = 1000
    crop: int = 128
    size: Size = "compact"
    vgg: str = "orthogonal"
    device: Literal["cpu", "cuda"] = "cpu"
    mixed: bool = False
    general: Path | None = None
    others: Sequence[Scene] = ()

    def told(self) -> dict[str, Any]:
        """What a result says of it: the others by name."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {
            "general": self.general and self.general.name,
            "others": [other.name for other in self.others],
        }


BLEND: dict[str, Any] = {"see_reference": True, "blend": True, "still_weight": 5.0}

Train = Callable[[Scene, Budget, int, Path], Learner]


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the tables.

    Attributes:
        key, title: its names.
        group: paper, rival, own or trivial.
        train: begins a run; None where nothing is learned.
        apply: the picture of one night where nothing is learned, given the scene.
    """

    key: str
    title: str
    group: Literal["paper", "rival", "own", "trivial"]
    train: Train | None = None
    apply: Callable[[Scene], Callable[[Image], Image]] | None = None


def _dico(**changes: Any) -> Train:
    """The paper's method: ξ alone, reading C, every weight 1, instance norm, batch 1, flips."""

    def start(scene: Scene, budget: Budget, seed: int, folder: Path) -> Learner:
        generator = replace(SIZES[budget.size], input=changes.get("input", "replace"))
        settings = _within(default_settings("dico"), budget, seed, generator)
        losses = {k: v for k, v in changes.items() if k != "input"}
        return Trainer(scene, replace(settings, flip=True, losses=replace(settings.losses, **losses)), folder)

    return start


def _own(recipe: Literal["paired", "paired+dico"], *, light: bool = True, **changes: Any) -> Train:
    """This project's recipes: RGB and ξ, batch norm, no flips, two pairs a step, features beside pixels.

    A generator that sees x_ref pastes it unless what moves weighs enough: 10, not 2. The paper's terms on real nights
    weigh less than by default: at a generator's rate of 1e-3 L_adv of weight 1 drew lattices, and L_fore pulled the
    foreground back towards the night.
    """

    def start(scene: Scene, budget: Budget, seed: int, folder: Path) -> Learner:
        generator = LIGHT if light else replace(SIZES[budget.size], input="concat", norm="batch")
        settings = _within(default_settings(recipe), budget, seed, generator)
        losses = replace(settings.losses, adversarial=0.2, foreground=0.1)
        settings = replace(
            settings, unpaired_from=0.2, pairs=2, feature_weight=10.0, foreground_weight=10.0, losses=losses
        )
        return Trainer(scene, replace(settings, **changes), folder)

    return start


def _general(scene: Scene, budget: Budget, seed: int, folder: Path) -> Learner:
    """Starts from a model of other cameras, which go on giving three pairs of five: see ``benchmarks.general``.

    At a steady rate of 1e-3, as from nothing, it forgets what it knew of moving things before it learns the place.
    """
    settings = _within(default_settings("blend"), budget, seed, LIGHT)
    settings = replace(
        settings,
        pairs=3,
        batch=2,
        others_share=0.6,
        learning_rate=5e-4,
        start_from=str(budget.general),
    )
    return Trainer(scene, settings, folder, others=budget.others)


def _student(teacher: str) -> Train:
    """The light generator, taught by the same seed's ``teacher`` on real nights and by pairs."""

    def start(scene: Scene, budget: Budget, seed: int, folder: Path) -> Learner:
        path = folder.with_name(f"{scene.name}.{teacher}.{seed}") / "model.pt"
        return _own("paired", **BLEND, teacher=str(path))(scene, budget, seed, folder)

    return start


def _rival(name: str) -> Train:
    def start(scene: Scene, budget: Budget, seed: int, _folder: Path) -> Learner:
        return RIVALS[name](
            scene,
            replace(SIZES[budget.size], input="rgb"),
            crop=(budget.crop, budget.crop),
            steps=budget.steps,
            seed=seed,
            device=budget.device,
            mixed=budget.mixed,
        )

    return start


def _within(
    settings: TrainSettings, budget: Budget, seed: int, generator: GeneratorSettings
) -> TrainSettings:
    return replace(
        settings,
        generator=generator,
        steps=budget.steps,
        batch=1,
        crop=(budget.crop, budget.crop),
        mask_warmup=min(300, budget.steps // 4),
        vgg=budget.vgg,
        seed=seed,
        device=budget.device,
        mixed=budget.mixed,
    )


def _gamma(scene: Scene) -> Callable[[Image], Image]:
    exponent = gamma_to(scene.night[:: max(1, len(scene.night) // 10)], scene.day)
    return lambda night: gamma(night, exponent)


def _relit(scene: Scene) -> Callable[[Image], Image]:
    n_ref = temporal_median(scene.night)
    return lambda night: relit_paste(night, scene.background, n_ref)


METHODS = {
    method.key: method
    for method in (
        Method("night", "night itself", "trivial", apply=lambda _: lambda night: night),
        Method("gamma", "gamma to the day's brightness", "trivial", apply=_gamma),
        Method("clahe", "CLAHE, clip 4", "trivial", apply=lambda _: lambda night: clahe(night, 4.0)),
        Method("x_ref", "showing the empty scene", "trivial", apply=lambda scene: lambda _: scene.background),
        Method("relit", "relit paste", "trivial", apply=_relit),
        Method("dico", "DiCo", "paper", _dico()),
        Method("cut", "CUT", "rival", _rival("cut")),
        Method(
            "own", "ours: pairs, x_ref blended in, real nights where still", "own", _own("paired", **BLEND)
        ),
        Method("own_general", "ours, started from other cameras' days", "own", _general),
        Method(
            "own_layers",
            "ours, mask and drawn picture taught as well",
            "own",
            _own("paired", **BLEND, layers_weight=LAYERS),
        ),
        Method("own_paired", "ours, pairs alone", "own", _own("paired")),
        Method("own_ref", "ours, pairs, x_ref seen", "own", _own("paired", see_reference=True)),
        Method("dico_no_lci", "DiCo without LCI (RGB in)", "paper", _dico(input="rgb")),
        Method("dico_no_fore", "DiCo without L_fore", "paper", _dico(foreground=0.0)),
        Method("dico_no_back", "DiCo without L_back", "paper", _dico(background=0.0)),
        Method("cyclegan", "CycleGAN", "rival", _rival("cyclegan")),
        Method(
            "own_dico",
            "ours, pairs, x_ref seen, steady, DiCo on real nights",
            "own",
            _own("paired+dico", see_reference=True, steady_weight=5.0),
        ),
        Method("own_resnet", "ours with the ResNet", "own", _own("paired", light=False, **BLEND)),
        Method("own_student", "ours, light student of the ResNet", "own", _student("own_resnet")),
        Method("dico_concat", "DiCo, RGB beside ξ", "paper", _dico(input="concat")),
        Method("dico_a", "DiCo, reading A of eq. 12", "paper", _dico(reading="A")),
        Method("dico_b", "DiCo, reading B of eq. 12", "paper", _dico(reading="B")),
    )
}


@torch.no_grad()
def translate(model: NightToDay, nights: Sequence[Image], scene: Scene) -> list[Image]:
    """Each night through the model, one at a time as from a camera, with the backgrounds of what it learnt from."""
    empty = [temporal_median(scene.night)] * len(nights) if model.settings.backgrounds else []
    return translation.translate(model, nights, scene.background, empty)
