"""An ultralytics model that finds objects, on batches of RGB pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .. import device_copies
from ..device_copies import Pixels
from .detections import Detection
from .exported import is_exported, read_export
from .letterbox import Letterbox, fit
from .masks import Outline, outlines_of
from .model_file import read_network
from .network import Network

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
    """Load an ultralytics model that detects or segments; its defaults are those of ultralytics' ``predict``.

    Trust a model file only as far as a program: these files are pickles of Python objects. It is read with torch's
    restricted unpickler and ultralytics' list of the classes that its own models are made of (``torch_safe_load``
    with ``safe_only``), so that a file that asks for anything else, such as a shell, is refused. But that list holds
    hundreds of classes that nobody has proved harmless, and it stays in force for every later
    ``torch.load(weights_only=True)`` of the process. Nothing is downloaded or installed.

    Args:
        path: a file written by ultralytics' trainer or by its ``YOLO.save``, or what its ``export`` made for ONNX,
            OpenVINO or TensorRT.
        confidence: detections with this confidence or less are dropped, 0 to 1.
        iou: of two boxes of a class that overlap by more, the one with less confidence is dropped, 0 to 1.
        image_size: the longer side of the model's input in pixels, rounded up to its stride; by default what the
            model was trained for. An export has the size it was made for.
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
    path = Path(path)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if is_exported(path):
        if image_size is not None or end_to_end:
            raise ValueError(f"{path}: an export has the size and the head it was made with")
        network = read_export(path, device=device)
    else:
        network = read_network(path, end_to_end=end_to_end, device=device)
    if image_size is not None:
        network = replace(network, image_size=(image_size, image_size))
    return Detector(network, confidence=confidence, iou=iou)


class Detector:
    """A loaded model; made by ``load_detector``. For one thread at a time.

    Attributes:
        names: the model's classes by index.
        classes: their names.
        device: the GPU on which it takes tensors; None where it runs on a CPU.
        image_size: (height, width) in pixels of its largest input. A picture of another shape is padded to no more
            than it needs: one of 16:9 goes through a 640×640 model as 640×384.
    """

    def __init__(self, network: Network, *, confidence: float, iou: float) -> None:
        self._network = network
        self.device = network.device if network.device.type != "cpu" else None
        self._stride = max(32, network.stride)
        self._confidence = confidence
        self._iou = iou
        self.names = network.names
        self.classes = tuple(self.names.values())
        height, width = network.image_size
        self.image_size = (_multiple(height, self._stride), _multiple(width, self._stride))

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
        box = fit(
            (rgb.shape[1], rgb.shape[2]),
            into=self.image_size,
            stride=self._stride,
            whole=self._network.fixed,
        )
        if isinstance(rgb, torch.Tensor):
            batch = box.apply_on_device(rgb)
        else:  # shrunk first, so that only the detector's small input is copied to a GPU
            shrunk = np.stack([box.apply(picture) for picture in rgb])
            batch = device_copies.to_device(shrunk, self._network.device, "detector")
        with torch.inference_mode():
            raw, parts = self._network.run(batch.permute(0, 3, 1, 2).float().div_(255))
            return [
                self._found(one, None if parts is None else parts[place], box)
                for place, one in enumerate(raw)
            ]

    def _found(self, raw: torch.Tensor, parts: torch.Tensor | None, box: Letterbox) -> list[Detection]:
        coefficients = 0 if parts is None else len(parts)
        rows = self._chosen(raw) if self._network.suppressed else self._suppressed(raw, coefficients)
        outlines: list[Outline] = [()] * len(rows)
        if parts is not None:
            covered, outlines = outlines_of(rows, parts, box)
            rows = rows[covered]
        return self._detections(rows[:, :6].numpy(), outlines, box)

    def _suppressed(self, raw: torch.Tensor, coefficients: int) -> torch.Tensor:
        """(4 + classes + coefficients, anchors), boxes as centre and size → (n, 6 + coefficients).

        A row is x1, y1, x2, y2, confidence, class and the coefficients of a mask.
        """
        # The few anchors that count are chosen on the model's device. They are suppressed on the CPU, because each
        # step of the suppression would wait for the GPU. torchvision's own suppression needs its compiled operators.
        from ultralytics.utils.nms import TorchNMS

        end = len(raw) - coefficients
        scores, classes = raw[4:end].max(0)
        chosen = torch.nonzero(scores > self._confidence).flatten()
        if len(chosen) > MAX_COMPARED:
            chosen = chosen[scores[chosen].argsort(descending=True)[:MAX_COMPARED]]
        centre, half = raw[:2, chosen].T, raw[2:4, chosen].T / 2
        best = scores[chosen, None], classes[chosen, None].to(scores.dtype)
        rows = torch.cat((centre - half, centre + half, *best, raw[end:, chosen].T), 1).cpu()
        kept = TorchNMS.nms(rows[:, :4] + rows[:, 5:6] * _CLASS_SPACING, rows[:, 4], self._iou)
        return rows[kept[:MAX_DETECTIONS]]

    def _chosen(self, raw: torch.Tensor) -> torch.Tensor:
        """(n, 6 + coefficients), already suppressed → those with enough confidence."""
        return raw[raw[:, 4] > self._confidence][:MAX_DETECTIONS].cpu()

    def _detections(
        self, rows: NDArray[np.float32], outlines: Sequence[Outline], letterbox: Letterbox
    ) -> list[Detection]:
        boxes = letterbox.to_frame(rows[:, :4])
        return [
            Detection(
                label=self.names.get(int(row[5]), f"class {int(row[5])}"),
                confidence=float(row[4]),
                box=(x1, y1, x2, y2),
                outline=outline,
            )
            for row, (x1, y1, x2, y2), outline in zip(rows, boxes.tolist(), outlines, strict=True)
            if x2 > x1 and y2 > y1
        ]


def _multiple(side: int, stride: int) -> int:
    return -(-side // stride) * stride
