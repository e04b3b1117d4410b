"""The arguments of ``nightday-eval``. Imports no torch, so that ``--help`` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg, create_mutex_group

from nightday.engines.choices import Backend

PROGRAM = "nightday-eval"

# Fewer moments have no background by night.
LEAST_MOMENTS = 5

_TEST = create_mutex_group(required=True, title="what to score on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Score checkpoints and the baselines: PSNR, SSIM and feature distance to the true day, Fréchet and kernel
    distance to real days with 95 % intervals, steadiness over time.
    """

    checkpoint: Annotated[
        tuple[Path, ...], arg(metavar="PATH [PATH ...]", help_behavior_hint="(required but for --week)")
    ] = ()
    """checkpoints to score; with --week the one that makes day views that were not recorded (default: the general
    model)"""

    pairs: Annotated[Path | None, _TEST, arg(metavar="DIR", help_behavior_hint="")] = None
    """folder with night/ and day/, the same moments in the same order, and background.png"""

    real: Annotated[Path | None, _TEST, arg(metavar="DIR", help_behavior_hint="")] = None
    """folder with night/ and day/ of one camera, not the same moments, and perhaps background.png and
    night_background.png; labels beside night pictures (YOLO's .txt) are what must show"""

    week: Annotated[Path | None, _TEST, arg(metavar="DIR", help_behavior_hint="")] = None
    """folder of one camera with recordings of view: pair, or with day/ and night/ as collect writes them: what the
    day view adds, night by night, on a page"""

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
    """an ultralytics model; with --boxes it is scored on the true day, the night and the outputs of --pairs; --week
    tells what it finds on the night, on the day view and on what costs nothing, and takes package.module:name too"""

    classes: Annotated[
        tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="(default: all)")
    ] = ()
    """classes of the detector that count with --week"""

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

    moments: int = 120
    """the most moments of a night that --week looks at, evenly spread"""

    page: Annotated[Path, arg(metavar="FILE")] = Path("week.html")
    """where --week writes its page"""

    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """write the scores there too"""

    def fault(self) -> str | None:
        """What is wrong with the arguments together."""
        if self.threads is not None and self.threads < 1:
            return f"--threads {self.threads}: must be at least 1"
        if self.version:
            return None
        return self._week_fault() if self.week is not None else self._test_fault()

    def _week_fault(self) -> str | None:
        if len(self.checkpoint) > 1:
            return "--checkpoint: give one at most with --week"
        if self.moments < LEAST_MOMENTS:
            return f"--moments {self.moments}: must be at least {LEAST_MOMENTS}"
        if self.boxes is not None:
            return "--boxes needs --pairs: --week holds what is found against the night itself"
        if self.classes and self.detector is None:
            return "--classes needs --detector"
        return None

    def _test_fault(self) -> str | None:
        if not self.checkpoint:
            return "--checkpoint: give at least one"
        if (self.detector is None) != (self.boxes is None):
            return "--detector and --boxes go together"
        if self.detector is not None and self.pairs is None:
            return "--detector needs --pairs: boxes belong to day pictures of the same moments"
        if self.classes:
            return "--classes needs --week"
        return None
