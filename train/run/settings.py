"""Settings of a training run. Imports no torch, so that the command line can be made from them.

``TrainOptions`` are those settings that the command line has too; its attributes' docstrings are the texts of
``nightday-train --help``. ``TrainSettings`` adds what only Python can set, and checks all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from ..objectives.loss_settings import LossSettings, check_weight

if TYPE_CHECKING:
    from nightday.engines.model.settings import GeneratorSettings

Recipe = Literal["paired", "blend", "dico", "paired+dico"]
Device = Literal["cpu", "cuda"]

# Weight of the layers' terms for a ResNet that blends, where the settings give none.
LAYERS = 3.0
# In pixels. The discriminator's scores and VGG's deepest maps are empty below this.
MIN_CROP = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How to train: the recipe, its weights, and its course."""

    recipe: Recipe = "paired"
    """dico is the paper's method alone. paired learns from the camera's day pictures and their simulated nights.
    paired+dico starts with that and adds the paper's terms on real nights. blend is paired, sees the
    backgrounds by day and by night (x_ref, n_ref), draws what they do not show, and learns from real nights too."""

    background: Literal["median", "mean"] = "median"
    """what x_ref is, unless there is a background.png: the median of a fixed camera's days; or their mean, for
    driving scenes, where no camera is fixed (recipes dico, paired and paired+dico)"""

    start_from: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """checkpoint whose weights to start with; 'general' is the general model that comes with nightday-stream, for
    --recipe blend --size light"""

    others_share: float = 0.5
    """share of the pairs that come from other cameras, where there are --others"""

    detector: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """an ultralytics model that is to recognise more in the output: its feature maps are compared too (needs the
    extra [detect])"""

    detector_weight: float = 0.0
    """weight of the comparison of the detector's feature maps (2 with --detector)"""

    shade: float = 0.0
    """powers of two by which the light of a night may differ from place to place from its day's, at most (blend 1.5,
    others 0)"""

    steps: int = 8000
    """optimiser steps"""

    batch: int = 4
    """crops per step, of each kind (paired, unpaired)"""

    crop: Annotated[tuple[int, int], arg(metavar="H W")] = (144, 176)
    """height and width of the crops in pixels, multiples of 16; cut to the frame"""

    flip: bool = False
    """mirror half the crops"""

    learning_rate: Annotated[float | None, arg(help_behavior_hint="(default: 2e-4 for dico, else 1e-3)")] = (
        None
    )
    """learning rate of the generator's Adam: constant for half the steps, then falling linearly to 0. The
    discriminator's is 2e-4."""

    unpaired_from: float = 0.5
    """share of the steps after which paired+dico adds the paper's terms"""

    paired_weight: Annotated[float, arg(name="paired")] = 10.0
    """weight of the paired L1"""

    foreground_weight: float = 2.0
    """how much more a moving pixel counts in the paired L1 (blend 10, others 2)"""

    feature_weight: Annotated[float, arg(name="features")] = 0.0
    """weight of the paired L1 of VGG features; the L1 of pixels alone leaves a blur"""

    still_weight: Annotated[float, arg(name="still")] = 0.0
    """weight of the L1 to x_ref on real nights where nothing moves (blend 5, others 0)"""

    layers_weight: Annotated[
        float | None, arg(name="layers", help_behavior_hint="(default: 3 for blend, else 0)")
    ] = None
    """weight of what a blending generator draws and of its mask, each compared by itself"""

    reference_weight: Annotated[float, arg(name="reference")] = 0.0
    """weight of the L1 to x_ref under the background mask (paired+dico 5, others 0)"""

    vgg: str = "orthogonal"
    """weights of the VGG features: orthogonal (random, no file), imagenet (downloads), or a path to vgg16-*.pth"""

    seed: int = 0
    """seed of everything random"""

    sample_every: int = 500
    """steps between sample grids"""

    save_every: int = 250
    """steps between resumable states"""


def _compact() -> GeneratorSettings:
    from nightday.engines.model.settings import COMPACT

    return COMPACT


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(TrainOptions):
    """One training run: its options, and what the command line works out or leaves as it is.

    Attributes:
        generator: the model's shape.
        losses: weights and readings of the paper's terms.
        see_reference: give the generator x_ref as an input too; the model then holds that picture.
        blend: the generator draws a mask with which x_ref is blended in; needs ``see_reference``.
        backgrounds: give the generator x_ref and n_ref as inputs beside each night, see ``LayeredGenerator``; the
            model then serves any camera. Excludes ``see_reference``.
        evidence_weight: weight of the detail of what real nights show and no truth is known of, where things pass.
        detail_weight: weight of the detail of what moves in pairs.
        teacher: a checkpoint whose outputs on real nights are learned as well, or None.
        pairs: pairs per step where they differ from ``batch``; they cost less than unpaired crops.
        teacher_weight: weight of the L1 to the teacher's output.
        steady_weight: weight of the L1 between the outputs of a night and of the same night with other noise. What
            changes from frame to frame in a fixed camera's picture of an empty scene is noise, and should not be
            visible by day.
        mask_warmup: steps over which the floor under the background mask M falls from 1 to 0.
        device: cpu or cuda.
        mixed: bfloat16 for convolutions; the invariant and the losses stay float32.

    About some of the options:
        still_weight: this is |x_N→D - x_ref| where a real night agrees with the median of all real nights. There the
            camera sees its background, however the lamps light it, which no simulation knows. Half of these nights
            get moving things from the days inserted, lit by the night's own light.
        layers_weight: what is drawn is compared with the day where something moves (L1); the mask α by its
            cross-entropy with where something moves. By the blended picture alone the α of a ResNet soon is 0
            everywhere, since x_ref is nearly right nearly everywhere; from there neither α nor the drawing learns
            on. The light generator does not need this term.
        reference_weight: a pixel term beside L_back, since random features let fine noise through. 0 in the paper.
    """

    generator: GeneratorSettings = field(default_factory=_compact)
    losses: LossSettings = field(default_factory=LossSettings)
    see_reference: bool = False
    blend: bool = False
    backgrounds: bool = False
    evidence_weight: float = 0.0
    detail_weight: float = 0.0
    teacher: str | None = None
    pairs: int | None = None
    teacher_weight: float = 10.0
    steady_weight: float = 0.0
    mask_warmup: int = 300
    device: Device = "cpu"
    mixed: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "sample_every", "save_every"):
            check_positive(name, getattr(self, name))
        if self.pairs is not None:
            check_positive("pairs", self.pairs)
        rate = self.learning_rate
        if rate is not None and not 0 < rate < 1:
            raise ValueError(f"learning_rate={rate}: must be above 0 and below 1")
        for name in ("unpaired_from", "others_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be a share, from 0 to 1")
        if not 0 <= self.shade <= 4:
            raise ValueError(f"shade={self.shade}: must be from 0 to 4 powers of two")
        for each in fields(self):
            if each.name.endswith("_weight") and getattr(self, each.name) is not None:
                check_weight(each.name, getattr(self, each.name))
        for name in ("adversarial", "background", "foreground"):
            check_weight(name, getattr(self.losses, name))
        if self.detector_weight > 0 and self.detector is None:
            raise ValueError(f"detector_weight={self.detector_weight}: needs a detector")
        if self.blend and not self.see_reference:
            raise ValueError("blend=True: needs see_reference=True, there is nothing to blend with")
        if self.backgrounds and self.see_reference:
            raise ValueError("backgrounds=True: goes without see_reference, x_ref is seen anyway")
        if self.layers_weight and not self._has_layers:
            raise ValueError(f"layers_weight={self.layers_weight}: needs blend=True and pairs")
        if self.background == "mean":
            self._check_without_fixed_camera()
        if any(side < MIN_CROP or side % 16 for side in self.crop):
            raise ValueError(f"crop={self.crop}: must be multiples of 16, at least {MIN_CROP}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: must not be below 0")

    def _check_without_fixed_camera(self) -> None:
        """Raise ValueError where the run would take the mean of the days for the empty scene."""
        if self.recipe == "blend" or self.see_reference or self.backgrounds:
            raise ValueError(
                f"background='mean': {self.recipe} draws what the empty scene does not show, and without a fixed "
                "camera there is none; use the recipe dico, paired or paired+dico"
            )
        for name in ("still_weight", "reference_weight"):
            if getattr(self, name) > 0:
                raise ValueError(
                    f"{name}={getattr(self, name):g}: pulls pixels towards x_ref, which with background='mean' is a "
                    "blur; leave it out"
                )

    @property
    def _has_layers(self) -> bool:
        return (self.blend or self.backgrounds) and self.recipe != "dico"

    @property
    def layers(self) -> float:
        """``layers_weight``, or the default that None stands for."""
        if self.layers_weight is not None:
            return self.layers_weight
        wanted = self.backgrounds or self.generator.kind == "resnet"
        return LAYERS if self._has_layers and wanted else 0.0

    @property
    def paired(self) -> bool:
        """Whether the run learns from pairs."""
        return self.recipe != "dico"

    @property
    def unpaired_start(self) -> int:
        """The step from which the paper's terms are learned; ``steps`` where they never are."""
        if self.recipe == "dico":
            return 0
        return round(self.unpaired_from * self.steps) if self.recipe == "paired+dico" else self.steps


def check_positive(name: str, value: int) -> None:
    """Raise ValueError for a number below 1."""
    if value < 1:
        raise ValueError(f"{name}={value}: must be at least 1")


def default_options(recipe: Recipe, background: Literal["median", "mean"] = "median") -> TrainOptions:
    """The options a recipe starts from.

    ``blend`` weighs what moves most: a generator that is given x_ref otherwise only passes it on. A mean of the days
    is compared by features alone.
    """
    options = TrainOptions(recipe=recipe, background=background)
    if recipe == "blend":
        return replace(options, foreground_weight=10.0, still_weight=5.0, shade=1.5, layers_weight=LAYERS)
    pulled = recipe == "paired+dico" and background == "median"
    return replace(options, reference_weight=5.0) if pulled else options


def default_losses(recipe: Recipe) -> LossSettings:
    """The weights of the paper's terms a recipe starts from.

    All 1, as in the paper, but for ``paired+dico``: it weighs L_fore, which pulls towards the night's own look, below
    L_back and the distance to x_ref.
    """
    if recipe == "paired+dico":
        return LossSettings(background=10.0, foreground=0.5, centre=True)
    return LossSettings()


def default_settings(recipe: Recipe) -> TrainSettings:
    """The settings a recipe starts from."""
    return from_options(default_options(recipe), losses=default_losses(recipe))


def from_options(options: TrainOptions, **others: Any) -> TrainSettings:
    """The settings of a run with these options, and ``others`` of ``TrainSettings`` by name.

    Raises:
        ValueError: a value that makes no sense; the message names the setting and the value.
    """
    given = {each.name: getattr(options, each.name) for each in fields(TrainOptions)}
    blends = (
        {"backgrounds": True, "evidence_weight": 2.0, "detail_weight": 5.0}
        if options.recipe == "blend"
        else {}
    )
    return TrainSettings(**given, **blends | others)
