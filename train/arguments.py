"""The arguments of ``nightday-train``. Imports no torch, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, OmitArgPrefixes, arg, create_mutex_group

from .objectives.loss_settings import LossSettings
from .run.settings import Recipe, TrainOptions, check_positive, default_losses, default_options

PROGRAM = "nightday-train"
DESCRIPTION = """Train a night-to-day model, usually on one fixed camera.

Started again with the same arguments it goes on where it was stopped. The defaults shown are those of the --recipe
that is given with --help."""

_SOURCE = create_mutex_group(required=True, title="what to train on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of ``nightday-train``: where things are, and ``TrainOptions`` and ``LossSettings`` of the run."""

    scene: Annotated[Path | None, _SOURCE, arg(metavar="DIR", help_behavior_hint="")] = None
    """folder with day/, night/ and optionally background.png"""

    cameras: Annotated[Path | None, _SOURCE, arg(metavar="FILE", help_behavior_hint="")] = None
    """configuration of nightday-stream, which collected pictures; needs --camera"""

    version: Annotated[FlagCreatePairsOff[bool], _SOURCE, arg(help_behavior_hint="")] = False
    """print the version and exit"""

    camera: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """the camera in --cameras to train on"""

    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/NAME of the scene or camera)")
    ] = None
    """folder of the run"""

    force: FlagCreatePairsOff[bool] = False
    """train on footage that the checks refuse"""

    size: Literal["light", "compact", "paper"] = "light"
    """size of the generator: light needs no GPU; paper is the largest"""

    input: Literal["concat", "replace"] = "concat"
    """what the generator sees: RGB with the invariant ξ (concat), or ξ alone (replace)"""

    norm: Annotated[
        Literal["instance", "batch"] | None,
        arg(help_behavior_hint="(default: batch for a light or compact model with pairs, else instance)"),
    ] = None
    """normalisation layers of the generator"""

    others: Annotated[tuple[Path, ...], arg(metavar="PATH [PATH ...]", help_behavior_hint="")] = ()
    """clips or folders of other cameras by day, to learn more moving things from"""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to train"""

    mixed: Annotated[
        bool | None,
        arg(help_behavior_hint="(default: yes on a GPU and on a CPU with AVX-512, elsewhere it is slower)"),
    ] = None
    """bfloat16 convolutions"""

    threads: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: the cores that it may use)")
    ] = None
    """threads to compute with, of each process"""

    hold_back: float = 0.1
    """share of the day footage, from its end, that is not trained on but scored on; from 0 to 0.5"""

    validate_every: int = 250
    """steps between scores on the held-back day"""

    patience: int = 0
    """stop after so many validations without a gain; 0 trains to the end, since the learning rate falls in the second
    half and the last steps usually gain"""

    training: OmitArgPrefixes[TrainOptions] = field(default_factory=TrainOptions)
    loss: OmitArgPrefixes[LossSettings] = field(default_factory=LossSettings)

    def check(self) -> None:
        """Raise ValueError for a value that makes no sense; the message names the setting and the value."""
        if not 0 <= self.hold_back <= 0.5:
            raise ValueError(f"hold_back={self.hold_back}: must be a share from 0 to 0.5")
        check_positive("validate_every", self.validate_every)
        if self.threads is not None:
            check_positive("threads", self.threads)
        if self.patience < 0:
            raise ValueError(f"patience={self.patience}: must not be below 0")


@dataclass(frozen=True, slots=True)
class _Deciding:
    """The options on which the defaults of others depend."""

    recipe: Recipe = "paired"
    background: Literal["median", "mean"] = "median"
    detector: str | None = None


def parse(argv: list[str] | None) -> Arguments:
    """The command line. Exits with status 2 where it cannot be understood, and with 0 after ``--help``."""
    config = (DisallowNone,)
    deciding, _ = tyro.cli(
        _Deciding, prog=PROGRAM, args=argv, config=config, add_help=False, return_unknown_args=True
    )
    options = default_options(deciding.recipe, deciding.background)
    defaults = Arguments(
        training=replace(options, detector_weight=2.0) if deciding.detector is not None else options,
        loss=default_losses(deciding.recipe),
    )
    arguments = tyro.cli(
        Arguments, prog=PROGRAM, description=DESCRIPTION, args=argv, config=config, default=defaults
    )
    if (arguments.cameras is None) != (arguments.camera is None) and not arguments.version:
        print(f"{PROGRAM}: --cameras FILE and --camera NAME go together", file=sys.stderr)
        raise SystemExit(2)
    return arguments
