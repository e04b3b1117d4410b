"""The contestant that one would write oneself with OpenCV and PyTorch. Run by ``benchmarks.against``.

Each camera has a thread that reads a frame with OpenCV, translates it with PyTorch and writes it with OpenCV. The
threads share the generator. All settings are OpenCV's defaults: RTSP over TCP, decoding and writing by its FFmpeg.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.against.notes import Job, Notebook, Stop, contend
from nightday.engines import load_engine


def start(job: Job, notebook: Notebook) -> Stop:
    """A thread a camera."""
    engine = load_engine(job.model, job.backend, job.precision)  # type: ignore[arg-type]
    ended = threading.Event()

    def work(number: int, url: str) -> None:
        camera = cv2.VideoCapture(url)
        path = str(Path(job.folder, f"{number}.mp4"))
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), job.rate, (job.width, job.height))
        while not ended.is_set():
            came, night = camera.read()
            decoded_at, position = time.monotonic(), camera.get(cv2.CAP_PROP_POS_MSEC) / 1e3
            if not came:
                raise SystemExit(f"camera {number} ended")
            day = engine(cv2.cvtColor(night, cv2.COLOR_BGR2RGB)[np.newaxis])[0]
            writer.write(cv2.cvtColor(day, cv2.COLOR_RGB2BGR))
            notebook.add(number, position, decoded_at)
        writer.release()

    threads = [threading.Thread(target=work, args=each, daemon=True) for each in enumerate(job.urls)]
    for thread in threads:
        thread.start()

    def stop() -> dict[str, Any]:
        ended.set()
        for thread in threads:
            thread.join(5.0)
        return {"opencv": cv2.__version__}

    return stop


if __name__ == "__main__":
    contend(start)
