"""The contestant: Roboflow's InferencePipeline with this project's engine. Run by ``benchmarks.against``.

It needs an environment of its own with ``inference``, and there torch and openvino in this project's versions.
``video_processing_mode="freshest"`` is its own choice for the least latency: of each camera the newest frame alone
(EAGER), batches that wait for the last camera for 20 ms at the most; by default they would wait for ever. What it
fills its buffers by is the default for streams, ADAPTIVE_DROP_OLDEST. Its sink writes with OpenCV. It reports its use
to nobody.
"""

from __future__ import annotations

import importlib.metadata
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OFFLINE_MODE"] = "True"  # no usage is reported; it is read by the import

import cv2
import numpy as np
from inference import InferencePipeline
from inference.core.interfaces.camera.entities import VideoFrame
from inference.core.interfaces.camera.video_source import CV2VideoFrameProducer
from numpy.typing import NDArray

from benchmarks.against.notes import Job, Notebook, Stop, contend
from nightday.engines import load_engine

Picture = NDArray[np.uint8]


class Producer(CV2VideoFrameProducer):
    """Its own, which notes when each frame was decoded: its time stamps are taken before a frame is waited for."""

    def __init__(self, url: str, decoded: dict[int, tuple[float, float]]) -> None:
        super().__init__(url)
        self._decoded = decoded
        self._frames = 0

    def grab(self) -> bool:
        """Receive and decode one frame."""
        came = bool(super().grab())
        if came:
            self._frames += 1  # as the pipeline numbers them
            self._decoded[self._frames] = (
                time.monotonic(),
                self.stream.get(cv2.CAP_PROP_POS_MSEC) / 1e3,
            )
            self._decoded.pop(self._frames - 1000, None)
        return came


def start(job: Job, notebook: Notebook) -> Stop:
    """All cameras in one pipeline."""
    engine = load_engine(job.model, job.backend, job.precision)  # type: ignore[arg-type]
    engine.prepare(job.height, job.width)
    decoded: list[dict[int, tuple[float, float]]] = [{} for _ in job.urls]
    writers = [
        cv2.VideoWriter(
            str(Path(job.folder, f"{number}.mp4")),
            cv2.VideoWriter.fourcc(*"mp4v"),
            job.rate,
            (job.width, job.height),
        )
        for number in range(len(job.urls))
    ]

    known = [_of_camera(path) for path in job.backgrounds]

    def translate(frames: list[VideoFrame]) -> list[Picture]:
        nights = np.stack([cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB) for frame in frames])
        if not known:
            return list(engine(nights))
        own = [known[frame.source_id] for frame in frames]
        return list(
            engine(nights, day_background=[day for day, _ in own], night_background=[n for _, n in own])
        )

    def write(days: list[Picture | None], frames: list[VideoFrame | None]) -> None:
        for number, (day, frame) in enumerate(zip(days, frames, strict=True)):
            if day is not None and frame is not None:
                writers[number].write(cv2.cvtColor(day, cv2.COLOR_RGB2BGR))
                decoded_at, position = decoded[number][frame.frame_id]
                notebook.add(number, position, decoded_at)

    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=[partial(Producer, *each) for each in zip(job.urls, decoded, strict=True)],
        on_video_frame=translate,
        on_prediction=write,
        video_processing_mode="freshest",
    )
    threading.Thread(target=partial(pipeline.start, use_main_thread=True), daemon=True).start()

    def stop() -> dict[str, Any]:
        pipeline.terminate()
        return {"inference": importlib.metadata.version("inference"), "opencv": cv2.__version__}

    return stop


def _of_camera(path: str) -> tuple[Picture, Picture]:
    """A camera's backgrounds by day and by night, which do not change."""
    known = np.load(path)
    day, night = known["day_background"].copy(), known["night_background"].copy()
    day.flags.writeable = night.flags.writeable = False
    return day, night


if __name__ == "__main__":
    contend(start)
