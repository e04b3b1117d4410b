"""Whether a segmentation network sees the same in a picture as in the true day of the same moment."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from nightday.train.footage.scene import Image, SceneError
from nightday.train.scores.image_distances import Mask

# ImageNet's mean and standard deviation of R, G and B, in which torchvision's networks see.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NETWORKS = "torchvision.models.segmentation"
# Compiled operators whose mere declaration torchvision's Python code asks for; its segmentation uses neither.
DECLARED = ("nms", "qnms")
# Classes with fewer pixels of the true days do not count.
LEAST_PIXELS = 200

Classes = NDArray[np.int64]
"""(H, W): the number of each pixel's class."""
Segment = Callable[[Image], Classes]


def torchvision_segmentation(name: str, path: Path) -> Segment:
    """A network of ``torchvision.models.segmentation`` with its published weights, read from a file.

    Args:
        name: of its function there, such as ``deeplabv3_resnet50``.
        path: the state dict as published.

    Raises:
        SceneError: torchvision, the network or the file cannot be used; one line.
    """
    try:
        make = getattr(_networks(), name)
        state = torch.load(path, map_location="cpu", weights_only=True)
        # The published weights have a second head that was of use in training alone.
        network = make(weights=None, weights_backbone=None, aux_loss=any("aux" in key for key in state))
        network.load_state_dict(state)
    except (ImportError, AttributeError, RuntimeError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SceneError(f"--segmentation {name}={path}: {type(error).__name__}: {reason}") from None
    network.eval()
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))

    @torch.inference_mode()
    def segment(picture: Image) -> Classes:
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        made = network((x - mean) / deviation)
        return np.asarray(made["out"][0].argmax(0).numpy(), np.int64)

    return segment


def _networks() -> ModuleType:
    """torchvision's segmentation networks, which are plain PyTorch, also where its compiled operators do not load.

    There these are declared without being there: do this in a process that calls none of them.
    """
    try:
        return importlib.import_module(NETWORKS)
    except RuntimeError:
        for operator in DECLARED:
            # Where it was declared before, that is as good.
            with suppress(RuntimeError):
                torch.library.define(
                    f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
        return importlib.import_module(NETWORKS)


def agreement(seen: Sequence[Classes], truth: Sequence[Classes], keep: Mask) -> float:
    """Mean over classes of intersection over union, of all pictures together.

    Args:
        seen: of the pictures judged.
        truth: of the true days, by the same network.
        keep: bool (H, W), the pixels that count.
    """
    a, b = (np.concatenate([each[keep] for each in side]) for side in (seen, truth))
    classes, counts = np.unique(b, return_counts=True)
    shares = []
    for kind in classes[counts >= LEAST_PIXELS]:
        both, either = ((a == kind) & (b == kind)).sum(), ((a == kind) | (b == kind)).sum()
        shares.append(both / either)
    return float(np.mean(shares)) if shares else float("nan")
