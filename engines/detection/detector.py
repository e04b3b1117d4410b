"""An ultralytics detection model on batches of RGB pictures."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .. import device_copies
from ..device_copies import Pixels
from ..distribution import INSTALL_DETECT
from ..errors import DetectorError
from .detections import Detection
from .letterbox import Letterbox, fit
from .quiet_ultralytics import import_ultralytics

# Most detections of a picture, as in ultralytics' predict.
MAX_DETECTIONS = 300

# Most boxes of a picture that are compared with each other. It bounds the time where a model finds things everywhere.
MAX_COMPARED = 4096

# Pixels by which the boxes of each class are moved away from the others', so that one suppression serves all classes.
_CLASS_SPACING = 7680


def load_detector(
    path: str | Path,
    *,
    confidence: float = 0.25,
    iou: float = 0.7,
    image_size: int | None = None,
    end_to_end: bool = False,
    device: str | torch.device | None = None,
) -> Detector:
    """Load an ultralytics detection model; its defaults are those of ultralytics' ``predict``.

    Trust a model file only as far as a program: these files are pickles of Python objects. It is read with torch's
    restricted unpickler and ultralytics' list of the classes that its own models are made of (``torch_safe_load``
    with ``safe_only``), so that a file that asks for anything else, such as a shell, is refused. But that list holds
    hundreds of classes that nobody has proved harmless, and it stays in force for every later
    ``torch.load(weights_only=True)`` of the process. Nothing is downloaded or installed.

    Args:
        path: a file written by ultralytics' trainer or by its ``YOLO.save``.
        confidence: detections with this confidence or less are dropped, 0 to 1.
        iou: of two boxes of a class that overlap by more, the one with less confidence is dropped, 0 to 1.
        image_size: the longer side of the model's input in pixels, rounded up to its stride; by default what the
            model was trained for.
        end_to_end: use the head that needs no suppression and ignores ``iou`` (``predict``'s ``nms=False``), which
            YOLO26 and YOLOv10 have beside the usual one.
        device: where it runs; by default the GPU if there is one.

    Raises:
        DetectorError: the extra is not installed, the file is missing, or it is no such model.
        ValueError: a threshold or size is out of its range.
    """
    for name, value in (("confidence", confidence), ("iou", iou)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value}: must be from 0 to 1")
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size {image_size}: must be at least 1 pixel")
    model, trained_for = _loaded(Path(path), end_to_end=end_to_end)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    # Batches of pictures are channels-last already, and on a CPU that layout is faster.
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    return Detector(
        model.to(device=device, memory_format=layout),  # type: ignore[call-overload]
        image_size=trained_for if image_size is None else (image_size, image_size),
        confidence=confidence,
        iou=iou,
    )


class Detector:
    """A loaded model; made by ``load_detector``. For one thread at a time.

    Attributes:
        names: the model's classes by index.
        classes: their names.
        device: the GPU on which it takes tensors; None where it runs on a CPU.
        image_size: (height, width) in pixels of its largest input. A picture of another shape is padded to no more
            than it needs: one of 16:9 goes through a 640×640 model as 640×384.
    """

    def __init__(
        self, model: torch.nn.Module, *, image_size: tuple[int, int], confidence: float, iou: float
    ) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self.device = self._device if self._device.type != "cpu" else None
        self._stride = max(32, int(torch.as_tensor(model.stride).max()))
        self._confidence = confidence
        self._iou = iou
        self._end_to_end = bool(getattr(_head(model), "end2end", False))
        self.names = _names(model)
        self.classes = tuple(self.names.values())
        self.image_size = (
            _multiple(image_size[0], self._stride),
            _multiple(image_size[1], self._stride),
        )

    def __call__(self, rgb: Pixels) -> list[list[Detection]]:
        """Detections on uint8 RGB pictures (N, H, W, 3): a list for each picture, the most confident first.

        Takes an array, or a tensor on ``device``, of which nothing but the detections is copied to the host. Boxes
        are cut at the picture's border, and those without an area in it are left out. Raises ValueError for another
        dtype or shape.
        """
        dtype = str(rgb.dtype).removeprefix("torch.")
        if dtype != "uint8" or rgb.ndim != 4 or rgb.shape[3] != 3 or 0 in rgb.shape[1:]:
            raise ValueError(f"pictures are {dtype} {tuple(rgb.shape)}: expected uint8 (N, H, W, 3)")
        if not len(rgb):
            return []
        box = fit((rgb.shape[1], rgb.shape[2]), into=self.image_size, stride=self._stride)
        if isinstance(rgb, torch.Tensor):
            batch = box.apply_on_device(rgb)
        else:  # shrunk first, so that only the detector's small input is copied to a GPU
            shrunk = np.stack([box.apply(picture) for picture in rgb])
            batch = device_copies.to_device(shrunk, self._device, "detector")
        with torch.inference_mode():
            output = self._model(batch.permute(0, 3, 1, 2).float().div_(255))
            decoded = output[0] if isinstance(output, (list, tuple)) else output
            rows = [self._end_to_end_rows(one) if self._end_to_end else self._rows(one) for one in decoded]
        return [self._detections(found, box) for found in rows]

    def _rows(self, decoded: torch.Tensor) -> NDArray[np.float32]:
        """(4 + classes, anchors), boxes as centre and size → (n, 6): x1, y1, x2, y2, confidence, class."""
        # The few anchors that count are chosen on the model's device. They are suppressed on the CPU, because each
        # step of the suppression would wait for the GPU. torchvision's own suppression needs its compiled operators.
        from ultralytics.utils.nms import TorchNMS

        scores, classes = decoded[4:].max(0)
        chosen = torch.nonzero(scores > self._confidence).flatten()
        if len(chosen) > MAX_COMPARED:
            chosen = chosen[scores[chosen].argsort(descending=True)[:MAX_COMPARED]]
        centre, half = decoded[:2, chosen].T, decoded[2:4, chosen].T / 2
        rows = torch.cat(
            (centre - half, centre + half, scores[chosen, None], classes[chosen, None].to(scores.dtype)), 1
        ).cpu()
        kept = TorchNMS.nms(rows[:, :4] + rows[:, 5:] * _CLASS_SPACING, rows[:, 4], self._iou)
        return rows[kept[:MAX_DETECTIONS]].numpy()

    def _end_to_end_rows(self, decoded: torch.Tensor) -> NDArray[np.float32]:
        """(n, 6), already suppressed → those with enough confidence."""
        return decoded[decoded[:, 4] > self._confidence][:MAX_DETECTIONS].cpu().numpy()

    def _detections(self, rows: NDArray[np.float32], letterbox: Letterbox) -> list[Detection]:
        boxes = letterbox.to_frame(rows[:, :4])
        return [
            Detection(
                label=self.names.get(int(row[5]), f"class {int(row[5])}"),
                confidence=float(row[4]),
                box=(x1, y1, x2, y2),
            )
            for row, (x1, y1, x2, y2) in zip(rows, boxes.tolist(), strict=True)
            if x2 > x1 and y2 > y1
        ]


def read_model(path: str | Path) -> torch.nn.Module:
    """The torch module of an ultralytics detection model, fused, float32, in eval mode; see ``load_detector``."""
    return _loaded(Path(path), end_to_end=False)[0]


def _loaded(path: Path, *, end_to_end: bool) -> tuple[torch.nn.Module, tuple[int, int]]:
    if not path.is_file():
        raise DetectorError(f"{path}: no such detection model; give the path of an ultralytics .pt file")
    try:
        import_ultralytics()
    except ImportError as error:
        if error.name == "ultralytics":
            raise DetectorError(
                f"{path}: detection needs ultralytics; install it with: {INSTALL_DETECT}"
            ) from error
        raise DetectorError(
            f"{path}: ultralytics does not load ({_line(error)}); repair it with: {INSTALL_DETECT}"
        ) from error
    return _read(path, end_to_end=end_to_end)


def _read(path: Path, *, end_to_end: bool) -> tuple[torch.nn.Module, tuple[int, int]]:
    """The model of a checkpoint, fused, float32, in eval mode, and the (height, width) it was trained for."""
    from ultralytics.nn.modules import Detect
    from ultralytics.nn.tasks import torch_safe_load

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
        raise DetectorError(f"{wrong} ({_line(error, hide=str(alias))})") from error
    model = checkpoint.get("ema") or checkpoint.get("model")
    head = _head(model)
    if not isinstance(model, torch.nn.Module) or head is None:
        raise DetectorError(f"{wrong}: it holds no model of that kind")
    task = getattr(model, "task", None) or "detect"
    if not isinstance(head, Detect) or task != "detect":
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
        raise DetectorError(f"{wrong} of this version of ultralytics ({_line(error)})") from error
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


def _multiple(side: int, stride: int) -> int:
    return -(-side // stride) * stride


def _line(error: BaseException, hide: str = "") -> str:
    """The first sentence of an error's message, without ultralytics' decorations."""
    text = str(error).strip().splitlines()[0].split(". ")[0] if str(error).strip() else type(error).__name__
    text = text.encode("ascii", "ignore").decode()
    if hide:
        text = text.replace(hide, "it")
    return text.removeprefix("ERROR ").strip().rstrip(".")
