"""The contestant: this project's pipeline, recording to files or restreaming. Run by ``benchmarks.against``."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.against.notes import Job, Notebook, Stop, contend
from benchmarks.remembered import remember
from nightday.engines import load_engine
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from nightday.pipeline.outputs.rtsp.writer import RestreamWriter
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import run

END_WITHIN = 10.0


def start(job: Job, notebook: Notebook) -> Stop:
    """Run all cameras; each picture is noted by the thread that has written it."""
    model = Path(job.model)
    engine = load_engine(model, job.backend, job.precision)  # type: ignore[arg-type]
    engine.prepare(job.height, job.width)

    def note(picture: Picture) -> None:
        frame = picture.frame
        notebook.add(int(frame.camera), float(frame.pts * frame.time_base), frame.decoded_at)

    class Segments(SegmentWriter):
        def write(self, picture: Picture) -> None:
            super().write(picture)
            note(picture)

    class Restream(RestreamWriter):
        def write(self, picture: Picture) -> None:
            super().write(picture)
            note(picture)

    cameras: list[dict[str, Any]] = [
        {
            "name": str(number),
            "url": url,
            "model": job.model,
            "translate": "always",
            "outputs": [job.restream or f"{job.folder}/{number}/%Y%m%d-%H%M%S.mp4"],
        }
        for number, url in enumerate(job.urls)
    ]
    for camera, backgrounds in zip(cameras, job.backgrounds, strict=bool(job.backgrounds)):
        known = np.load(backgrounds)
        picture = remember(
            Path(job.folder),
            camera["name"],
            camera["url"],
            day=known["day_background"],
            night=known["night_background"],
        )
        camera["background"] = {"save": picture}
    inbox, outcomes = CommandQueue(), list[Outcome]()

    def work() -> None:
        with (
            mock.patch("nightday.pipeline.outputs.mp4.writer.SegmentWriter", Segments),
            mock.patch("nightday.pipeline.outputs.rtsp.writer.RestreamWriter", Restream),
        ):
            config = Config.model_validate({"cameras": cameras})
            outcomes.append(run(config, engines={model: engine}, commands=inbox))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def stop() -> dict[str, Any]:
        inbox.put("stop")
        thread.join(END_WITHIN)
        (outcome,) = outcomes
        if outcome.problems:
            raise SystemExit("; ".join(outcome.problems))
        dropped: dict[str, int] = {}
        for camera in outcome.cameras:
            for reason, count in camera.stats.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + count
        own = [camera.stats.latency_p95 for camera in outcome.cameras if camera.stats.latency_p95 is not None]
        return {"dropped since the start": dropped, "own p95 ms": round(max(own) * 1e3, 1)}

    return stop


if __name__ == "__main__":
    contend(start)
