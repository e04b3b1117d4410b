"""Reads ultralytics' own model files."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import DetectorError
from .network import TASKS, Network, Raw, line_of, need_ultralytics


def read_network(path: Path, *, end_to_end: bool, device: torch.device) -> Network:
    """The model of a file that detects or segments; see ``load_detector``."""
    model, trained_for = _loaded(path, end_to_end=end_to_end, tasks=TASKS)
    # Batches of pictures are channels-last already, and on a CPU that layout is faster.
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    model = model.to(device=device, memory_format=layout)  # type: ignore[call-overload]

    def run(batch: torch.Tensor) -> Raw:
        output = model(batch)
        decoded = output[0] if isinstance(output, (list, tuple)) else output
        return (decoded[0], decoded[1]) if isinstance(decoded, tuple) else (decoded, None)

    return Network(
        run,
        names=_names(model),
        image_size=trained_for,
        stride=int(torch.as_tensor(model.stride).max()),
        fixed=False,
        suppressed=bool(getattr(_head(model), "end2end", False)),
        device=device,
    )


def read_model(path: str | Path) -> torch.nn.Module:
    """The torch module of an ultralytics detection model, fused, float32, in eval mode; see ``load_detector``."""
    return _loaded(Path(path), end_to_end=False, tasks=("detect",))[0]


def _loaded(
    path: Path, *, end_to_end: bool, tasks: Collection[str]
) -> tuple[torch.nn.Module, tuple[int, int]]:
    if not path.is_file():
        raise DetectorError(f"{path}: no such detection model; give the path of an ultralytics .pt file")
    need_ultralytics(path)
    return _read(path, end_to_end=end_to_end, tasks=tasks)


def _read(path: Path, *, end_to_end: bool, tasks: Collection[str]) -> tuple[torch.nn.Module, tuple[int, int]]:
    """The model of a checkpoint, fused, float32, in eval mode, and the (height, width) it was trained for."""
    from ultralytics.nn.modules import Detect
    from ultralytics.nn.tasks import guess_model_task, torch_safe_load

    wrong = f"{path}: not an ultralytics detection model"
    try:
        with path.open("rb") as file:
            complete = zipfile.is_zipfile(file)
    except OSError as error:
        raise DetectorError(f"{path}: cannot be read: {error.strerror}") from error
    if not complete:
        raise DetectorError(f"{wrong}: its bytes are not what torch.save writes, or not all of it")
    try:
        # It is loaded by another name, since ultralytics rewrites some names (quotes, yolov5*.pt) and then looks for
        # these files on the web.
        with tempfile.TemporaryDirectory() as folder:
            alias = Path(folder) / "model.pt"
            alias.symlink_to(path.resolve())
            checkpoint, _ = torch_safe_load(alias, safe_only=True)
    except Exception as error:  # an unpickler raises anything
        raise DetectorError(f"{wrong} ({line_of(error, hide=str(alias))})") from error
    model = checkpoint.get("ema") or checkpoint.get("model")
    head = _head(model)
    if not isinstance(model, torch.nn.Module) or head is None:
        raise DetectorError(f"{wrong}: it holds no model of that kind")
    task = getattr(model, "task", None) or guess_model_task(model)
    if not isinstance(head, Detect) or task not in tasks:
        raise DetectorError(f"{wrong} but one for {task} ({type(head).__name__}); give a detection model")
    if checkpoint.get("modelopt"):
        raise DetectorError(f"{wrong} as trained: it is quantised; export it from its float checkpoint")
    channels = getattr(model, "yaml", {}).get("channels", 3)
    if channels != 3:
        raise DetectorError(f"{wrong} for RGB: it takes {channels} channels")
    if getattr(head, "one2one_cv2", None) is None:
        if end_to_end:
            raise DetectorError(f"{path}: has no end-to-end head; load it without end_to_end")
    elif (
        head.cv2 is not None
    ):  # where it is None the other head has been removed, and there is nothing to choose
        head.end2end = end_to_end
    try:
        fused: torch.nn.Module = model.float().fuse(verbose=False)  # type: ignore[operator]
    except (
        Exception
    ) as error:  # a model made by another version of ultralytics may lack what this one expects
        raise DetectorError(f"{wrong} of this version of ultralytics ({line_of(error)})") from error
    return fused.eval().requires_grad_(False), _trained_for(checkpoint.get("train_args") or {})


def _head(model: object) -> Any:
    """The last layer of an ultralytics model, or None if this is none."""
    layers = getattr(model, "model", None)
    return layers[-1] if isinstance(layers, torch.nn.Sequential) and len(layers) else None


def _trained_for(arguments: Mapping[str, Any]) -> tuple[int, int]:
    size = arguments.get("imgsz", 640)
    if isinstance(size, (list, tuple)) and size:
        return int(size[0]), int(size[-1])
    return (int(size), int(size)) if isinstance(size, (int, float)) and size > 0 else (640, 640)


def _names(model: torch.nn.Module) -> dict[int, str]:
    names = getattr(model, "names", None) or {}
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    return {int(index): str(name) for index, name in pairs}
