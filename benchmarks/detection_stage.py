"""``python -m benchmarks.detection_stage``: what detection costs beside the detector itself.

::

    python -m benchmarks.detection_stage [--result benchmarks/results/detection_stage.json]

Nights of the bundled clip are translated, and a detector looks at the day view, or at both views. Compared are the
bare calls, engine and detector one after another, with the stages of a run: detection with two zones, a line and
objects that are followed, and drawing. Both go over the same frames in one process on one core, in turns; given is
the share of the frame rate that is lost, the median of the rounds, by processor time. What drawing takes is given as
well: it is within the loss.

The detector is ultralytics' smallest, with random weights, since only its time matters. What it finds is put in its
place: a dozen objects that move.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nightday.engines import load_engine
from nightday.engines.bundled import bundled_clips, bundled_weights
from nightday.engines.detection.detections import Detection
from nightday.engines.detection.detector import Detector, load_detector
from nightday.engines.detection.quiet_ultralytics import import_ultralytics
from nightday.engines.device_copies import Pixels, on_host
from nightday.pipeline.analysis.detect import DetectStage
from nightday.pipeline.analysis.draw import draw_stage
from nightday.pipeline.analysis.follow import Areas, make_follower
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.fault_log import FaultLog
from nightday.pipeline.core.found import Looking
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.core.stages import BatchItem
from nightday.train.footage.scene import read_frames

from .rounding import rounded

ROUNDS, FRAMES = 9, 8
OBJECTS = 12
AREAS = Areas(
    zones={
        "left": ((0.0, 0.4), (0.5, 0.4), (0.5, 1.0), (0.0, 1.0)),
        "right": ((0.5, 0.3), (0.95, 0.35), (1.0, 0.9), (0.6, 1.0)),
    },
    lines={"middle": ((0.5, 0.1), (0.5, 1.0))},
)
# The pictures' width and height, and the longer side of the detector's input.
CASES = (((352, 288), 320), ((352, 288), 640), ((1280, 720), 640))

Picture = NDArray[np.uint8]


class Scripted:
    """Takes as long as a detector; what it finds moves to the right, an object in each of a dozen rows."""

    device: torch.device | None = None
    classes = None

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.number = 0

    def __call__(self, rgb: Pixels) -> list[list[Detection]]:
        """The same objects on each picture."""
        self._detector(rgb)
        self.number += 1
        height, width = rgb.shape[1:3]
        found = []
        for row in range(OBJECTS):
            left = (self.number * (2 + row / 4) + row * 61) % (width * 1.2) - width * 0.1
            top = (0.15 + 0.06 * row) * height
            found.append(Detection("car", 0.8, (left, top, left + width / 12, top + height / 9)))
        return [found for _ in rgb]


class Camera:
    """As much of a camera as the stages ask for."""

    overlay = "none"

    def __init__(self, detector: Scripted, *, both: bool) -> None:
        self.detector = detector
        self.stats = CameraStats()
        self.faults = FaultLog("gate", lambda _: None)
        self.looking = Looking(on="both" if both else "day", confidence=0.25)
        self.follower = make_follower(
            camera="gate",
            areas=AREAS,
            follow=True,
            confidence=0.25,
            counts=self.stats.found,
            publish=lambda _: None,
        )

    def follow(self, item: BatchItem, faint: Sequence[Detection]) -> None:
        """Follow what was found."""
        item.detections, item.followed = self.follower.follow(item.frame, item.detections, faint)


def main() -> int:
    """Measure and print a line for each case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection_stage")
    parser.add_argument("--result", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clip = read_frames(bundled_clips() / "night_a1_barnet_simulated.mp4")[: ROUNDS * FRAMES]
    engine = load_engine(bundled_weights("a1_barnet.pt"), "openvino", "fp32")
    rows = []
    for size, image_size in CASES:
        nights = [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in clip]
        for both in (False, True):
            rows.append(_measure(engine, nights, image_size, both=both))
            print(rows[-1], flush=True)
    if args.result is not None:
        args.result.write_text(json.dumps(rounded({"cases": rows}), indent=1) + "\n")
    return 0


def _measure(
    engine: Callable[[Picture], Any], nights: Sequence[Picture], image_size: int, *, both: bool
) -> dict[str, Any]:
    detector = _detector(image_size)
    camera = Camera(Scripted(detector), both=both)
    alone, stage = Scripted(detector), DetectStage()
    drawing = 0.0

    def bare(number: int) -> None:
        night = nights[number]
        day = on_host(engine(night[None]), "engine")[0]
        alone(np.stack((day, night)) if both else day[None])

    def staged(number: int) -> None:
        nonlocal drawing
        night = nights[number]
        frame = Frame(
            "gate", av.VideoFrame(night.shape[1], night.shape[0], "gray"), number, Fraction(1, 25), 0.0, 0.0
        )
        item = BatchItem(cast(Any, camera), frame, seen=night, day=night, translated=True)
        item = replace(item, day=on_host(engine(night[None]), "engine")[0])
        items = stage([item])
        begun = time.process_time()
        draw_stage(items)
        drawing += time.process_time() - begun

    for number in range(3):  # what is made once: engines for the size, and patches
        bare(number)
        staged(number - 3)
    drawing, took = 0.0, {bare: [0.0] * ROUNDS, staged: [0.0] * ROUNDS}
    for round_ in range(ROUNDS):
        for way in (bare, staged) if round_ % 2 else (staged, bare):
            begun = time.process_time()
            for number in range(round_ * FRAMES, (round_ + 1) * FRAMES):
                way(number)
            took[way][round_] = (time.process_time() - begun) / FRAMES
    assert (camera.stats.snapshot().found.tracks_now or 0) >= OBJECTS // 2
    lost = [1 - one / other for one, other in zip(took[bare], took[staged], strict=True)]
    return {
        "size": f"{nights[0].shape[1]}x{nights[0].shape[0]}",
        "detector_input": image_size,
        "views": 2 if both else 1,
        "bare_ms": 1e3 * statistics.median(took[bare]),
        "stages_ms": 1e3 * statistics.median(took[staged]),
        "of_which_drawing_ms": 1e3 * drawing / (ROUNDS * FRAMES),
        "frame_rate_lost": statistics.median(lost),
    }


def _detector(image_size: int) -> Detector:
    """Ultralytics' smallest detector with random weights, which finds next to nothing."""
    import_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel("yolov8n.yaml", nc=80, verbose=False)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        torch.save({"model": model, "train_args": {"imgsz": image_size}}, path)
        return load_detector(path, device="cpu")


if __name__ == "__main__":
    raise SystemExit(main())
