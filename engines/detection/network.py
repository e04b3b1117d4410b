"""What an ultralytics model is to the detector, whatever it was exported to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distribution import INSTALL_DETECT
from ..errors import DetectorError
from .quiet_ultralytics import import_ultralytics

TASKS = ("detect", "segment")
"""Ultralytics' tasks whose models find objects."""

Raw = tuple[Tensor, Tensor | None]
"""What a model gives for a batch: of each picture its candidates, and of one that segments the parts of masks."""


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A loaded model.

    Attributes:
        run: takes pictures (N, 3, H, W), float32 from 0 to 1, on ``device``. Candidates are (N, 4 + classes + mask
            coefficients, anchors) or, where suppression is part of the model, (N, most, 6 + mask coefficients).
        names: the classes by index.
        image_size: (height, width) in pixels of the input.
        stride: the input's sides are multiples of this.
        fixed: whether the input always has ``image_size``; else pictures are padded to no more than they need.
        suppressed: whether suppression is part of the model.
        device: where it runs.
    """

    run: Callable[[Tensor], Raw]
    names: dict[int, str]
    image_size: tuple[int, int]
    stride: int
    fixed: bool
    suppressed: bool
    device: torch.device


def need_ultralytics(path: object) -> None:
    """Import ultralytics; raises DetectorError where it is missing or broken."""
    try:
        import_ultralytics()
    except ImportError as error:
        if error.name == "ultralytics":
            raise DetectorError(
                f"{path}: detection needs ultralytics; install it with: {INSTALL_DETECT}"
            ) from error
        raise DetectorError(
            f"{path}: ultralytics does not load ({line_of(error)}); repair it with: {INSTALL_DETECT}"
        ) from error


def line_of(error: BaseException, hide: str = "") -> str:
    """The first sentence of an error's message, without ultralytics' decorations."""
    text = str(error).strip().splitlines()[0].split(". ")[0] if str(error).strip() else type(error).__name__
    text = text.encode("ascii", "ignore").decode()
    if hide:
        text = text.replace(hide, "it")
    return text.removeprefix("ERROR ").strip().rstrip(".")
