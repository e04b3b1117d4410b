"""The arguments of ``nightday-eval``. Imports no torch, so that ``--help`` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg, create_mutex_group

from nightday.engines.choices import Backend

PROGRAM = "nightday-eval"

_TEST = create_mutex_group(required=True, title="what to score on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Score checkpoints and the baselines: PSNR, SSIM and feature distance to the true day, Fréchet and kernel
    distance to real days with 95 % intervals, steadiness over time.
    """

    checkpoint: Annotated[
        tuple[Path, ...], arg(metavar="PATH [PATH ...]", help_behavior_hint="(required)")
    ] = ()
    """checkpoints to score"""

    pairs: Annotated[Path | None, _TEST, arg(metavar="DIR", help_behavior_hint="")] = None
    """folder with night/ and day/, the same moments in the same order, and background.png"""

    real: Annotated[Path | None, _TEST, arg(metavar="DIR", help_behavior_hint="")] = None
    """folder with night/ and day/ of one camera, not the same moments, and perhaps background.png and
    night_background.png; labels beside night pictures (YOLO's .txt) are what must show"""

    version: Annotated[FlagCreatePairsOff[bool], _TEST, arg(help_behavior_hint="")] = False
    """print the version and exit"""

    backend: Backend = "auto"
    """what runs the model"""

    label: Annotated[
        UseAppendAction[tuple[tuple[int, int, int, int], ...]],
        arg(metavar="LEFT TOP RIGHT BOTTOM", help_behavior_hint=""),
    ] = ()
    """pixels of a burned-in label, left out of every score; may be given again"""

    tfl_labels: FlagCreatePairsOff[bool] = False
    """leave TfL's burned-in labels out (352×288)"""

    vgg: str = "orthogonal"
    """features behind the distances: orthogonal (random, no file), imagenet (downloads), or a path"""

    detector: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """an ultralytics model, scored on the true day, the night and the outputs of --pairs; needs --boxes"""

    boxes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """CSV with the columns frame (from 0), x1, y1, x2, y2 of what is to be detected in each day picture"""

    threads: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: the cores that it may use)")
    ] = None
    """threads to compute with; an engine of OpenVINO has its own"""

    rounds: int = 20
    """rounds of the bootstrap behind the intervals; 1 for none"""

    pictures: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="")] = None
    """write a few rows of night, output and truth there, a PNG per checkpoint"""

    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """write the scores there too"""

    def fault(self) -> str | None:
        """What is wrong with the arguments together."""
        if not self.checkpoint and not self.version:
            return "--checkpoint: give at least one"
        if self.threads is not None and self.threads < 1:
            return f"--threads {self.threads}: must be at least 1"
        if (self.detector is None) != (self.boxes is None):
            return "--detector and --boxes go together"
        if self.detector is not None and self.pairs is None:
            return "--detector needs --pairs: boxes belong to day pictures of the same moments"
        return None
