"""Checkpoints: a file that alone is enough to load a model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .generator import NightToDay
from .settings import GeneratorSettings

FORMAT = "nightday-checkpoint"
VERSION = 1

# The key of the qualification frames in a file.
FRAMES_KEY = "golden"

# The key of their backgrounds.
BACKGROUNDS_KEY = "qualification_backgrounds"

# The key under "training" that tells whether one fixed camera took the pictures; that is so where it is missing.
FIXED_CAMERA = "fixed_camera"


def save_checkpoint(
    path: str | Path,
    model: NightToDay,
    *,
    training: dict[str, Any] | None = None,
    qualification_frames: Sequence[Tensor] = (),
    qualification_backgrounds: Sequence[tuple[Tensor, Tensor]] = (),
) -> None:
    """Write ``model`` with its settings to ``path``, atomically, as contiguous float32 CPU tensors.

    Args:
        path: the file; its folder is made.
        model: any device.
        training: what the model card says of its training: plain numbers, strings, lists and dicts.
        qualification_frames: night frames of the camera, made by ``pack``, on which engines are qualified.
        qualification_backgrounds: of a model that takes backgrounds, made by ``pack_with_backgrounds``: by day and by
            night, of each frame, or one pair for all.

    Raises:
        ValueError: there is neither one pair nor one for each frame.
    """
    if len(qualification_backgrounds) not in (0, 1, len(qualification_frames)):
        pairs, frames = len(qualification_backgrounds), len(qualification_frames)
        raise ValueError(f"{pairs} pairs of qualification backgrounds for {frames} qualification frames")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "settings": asdict(model.settings),
        "state": state,
        "training": training or {},
        FRAMES_KEY: list(qualification_frames),
    }
    if qualification_backgrounds:
        content[BACKGROUNDS_KEY] = [list(pair) for pair in qualification_backgrounds]
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    os.replace(part, path)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The checked content of a checkpoint: format, version, settings, state, training and qualification frames.

    Old files have no qualification frames. No code in the file is run.

    Raises:
        CheckpointError: the file is missing, unreadable, or something else.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a checkpoint" if path.is_dir() else "no such checkpoint"
        raise CheckpointError(f"{path}: {what}; nightday-train makes them")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises anything; only the class of the error fits into one line.
        raise CheckpointError(f"{path}: not a checkpoint ({type(error).__name__} while reading it)") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: a PyTorch file, but not a {FORMAT}; give one made by nightday-train")
    if content.get("version") != VERSION:
        raise CheckpointError(f"{path}: version {content.get('version')!r}, this program reads {VERSION}")
    return content


def load_checkpoint(path: str | Path) -> NightToDay:
    """The model of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, or its settings and weights do not fit.
    """
    return model_of(read_checkpoint(path), path)


def model_of(content: dict[str, Any], path: str | Path) -> NightToDay:
    """``load_checkpoint`` for what ``read_checkpoint`` has read from ``path``."""
    try:
        model = NightToDay(GeneratorSettings(**content["settings"]))
        model.load_state_dict(content["state"])
        model.side = content["training"].get("side", model.side)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: settings and weights do not fit: {reason}") from None
    return model.eval()


def model_digest(model: NightToDay) -> str:
    """sha256 of a model's settings and weights, which decide what it draws. They may lie on any device."""
    # Settings that came later are left out where they are off, so that engines of older models are found.
    settings = repr(model.settings).replace(", backgrounds=False", "")
    digest = hashlib.sha256(settings.encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
