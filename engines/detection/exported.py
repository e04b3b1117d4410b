"""Models that ultralytics exported for other programs that compute: ONNX, OpenVINO, TensorRT."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..distribution import INSTALL
from ..errors import DetectorError
from .network import TASKS, Network, Raw, line_of, need_ultralytics

# What each export is known by, and the module without which ultralytics does not load it.
NEEDS = {".onnx": "onnxruntime", ".engine": "tensorrt", "_openvino_model": "openvino"}


def is_exported(path: Path) -> bool:
    """Whether a path is that of an export."""
    return _kind(path) is not None


def read_export(path: Path, *, device: torch.device) -> Network:
    """An export as ultralytics loads it, with the classes and the size that it was made with.

    Raises DetectorError where it is none that finds objects, or what it needs is missing.
    """
    if not path.exists():
        raise DetectorError(f"{path}: no such detection model")
    need_ultralytics(path)
    from ultralytics.nn.autobackend import AutoBackend
    from ultralytics.nn.backends.base import BaseBackend

    kind = _kind(path)
    assert kind is not None
    about: dict[str, Any] = BaseBackend.read_metadata(path) or {}
    task = about.get("task")
    if task is None:
        raise DetectorError(
            f"{path}: tells neither its task nor its classes; make it with ultralytics: yolo export model=…"
        )
    if task not in TASKS:
        raise DetectorError(f"{path}: not a detection model but one for {task}; give a detection model")
    if int(about.get("channels", 3)) != 3:
        raise DetectorError(f"{path}: not a model for RGB: it takes {about['channels']} channels")
    if importlib.util.find_spec(NEEDS[kind]) is None:
        extra = (
            INSTALL.replace("-e .", "-e '.[detect,onnx]'")
            if kind == ".onnx"
            else f"pip install {NEEDS[kind]}"
        )
        raise DetectorError(f"{path}: needs {NEEDS[kind]}; install it with: {extra}")
    try:
        backend = AutoBackend(str(path), device=device, verbose=False)
        height, width = backend.imgsz
    except Exception as error:  # of any of several libraries
        raise DetectorError(f"{path}: cannot be loaded ({line_of(error)})") from error

    def run(batch: Tensor) -> Raw:
        output = backend(batch)
        raw, parts = output if isinstance(output, (list, tuple)) else (output, None)
        return raw, parts

    return Network(
        run,
        names={int(index): str(name) for index, name in backend.names.items()},
        image_size=(int(height), int(width)),
        stride=int(backend.stride),
        fixed=not backend.dynamic,
        suppressed=bool(backend.end2end),
        device=torch.device(backend.device),
    )


def _kind(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for kind in NEEDS if name.endswith(kind)), None)
