"""One camera at 25 fps, and the pipeline compared with the bare engine.

    python -m benchmarks.stream --model weights/a1_barnet.pt

runs, on the real 352×288 night clip:

- ``file`` and ``rtsp``: the clip at its own pace for a minute, from disk and from GStreamer's RTSP server on
  this machine, into an MP4 (and from RTSP a restream to the same server), with background and snapshot. No frame
  may be dropped through overload, and p95 latency from decode to written must stay below 250 ms.
- ``ratio``: the clip as fast as it goes through the whole pipeline, compared with the engine alone on the same frames
  decoded beforehand; rounds alternate, and the median of the rounds' ratios counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightday.engines import Engine, load_engine
from nightday.pipeline.config.schema import CameraConfig, Config
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import run
from nightday.train.footage.scene import read_frames
from tests.support.rtsp_server import RtspServer

CLIP = Path(__file__).parent / "clips" / "night_tfl_07450_piccadilly.mp4"


def main(argv: list[str] | None = None) -> int:
    """Run all three and print them; exit 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each camera run")
    parser.add_argument("--rounds", type=int, default=5, help="of the ratio")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    args = parser.parse_args(argv)
    engine = load_engine(args.model)
    figures: dict[str, object] = {
        "machine": f"{_cpu()}, {os.cpu_count()} cores",
        "engine": f"{engine.info.backend} {engine.info.precision}",
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        figures["file"] = _camera(str(CLIP), args.model, engine, work / "file", args.seconds)
        with RtspServer(record=work) as server:
            figures["rtsp"] = _camera(
                server.url("/cam"), args.model, engine, work / "rtsp", args.seconds, server.url("/day")
            )
        figures["ratio"] = ratio = _ratio(args.model, engine, work / "fast", args.rounds)
    text = json.dumps(figures, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    cameras = [figures["file"], figures["rtsp"]]
    good = all(isinstance(c, dict) and not c["dropped"] and c["latency_p95_ms"] < 250 for c in cameras)
    return 0 if good and ratio["loop / engine"] >= 0.8 else 1


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _config(url: str, model: Path, folder: Path, *, pace: str, restream: str | None = None) -> Config:
    camera = CameraConfig.model_validate(
        {
            "name": "gate",
            "url": url,
            "model": str(model),
            "translate": "always",
            "pace": pace,
            "loop": pace == "realtime" and "://" not in url,
            "outputs": [str(folder / "%Y%m%d-%H%M%S.mp4"), *([restream] if restream else [])],
            "background": {"save": str(folder / "background.png")},
            "snapshot": str(folder / "snapshot.png"),
        }
    )
    return Config(cameras=(camera,))


def _run(config: Config, model: Path, engine: Engine, duration: float | None) -> Outcome:
    outcome = run(config, engines={model: engine}, duration=duration)
    if outcome.problems:
        raise SystemExit("; ".join(outcome.problems))
    return outcome


def _camera(
    url: str, model: Path, engine: Engine, folder: Path, seconds: float, restream: str | None = None
) -> dict[str, object]:
    # Compiled beforehand, as for a camera that has run for a while
    engine(np.zeros((1, 288, 352, 3), np.uint8))
    began = time.process_time()
    config = _config(url, model, folder, pace="realtime", restream=restream)
    stats = _run(config, model, engine, seconds).cameras[0].stats
    assert stats.latency_p50 is not None
    assert stats.latency_p95 is not None
    return {
        "seconds": seconds,
        "translated": stats.translated,
        "fps": round(stats.translated / seconds, 2),
        "dropped": stats.dropped,
        "latency_p50_ms": round(stats.latency_p50 * 1e3, 1),
        "latency_p95_ms": round(stats.latency_p95 * 1e3, 1),
        "cpu_seconds_a_second": round((time.process_time() - began) / seconds, 2),
    }


def _ratio(model: Path, engine: Engine, folder: Path, rounds: int) -> dict[str, float]:
    frames = read_frames(CLIP)
    bare, loop = [], []
    for i in range(rounds):
        bare.append(len(frames) / _bare(engine, frames))
        config = _config(str(CLIP), model, folder / str(i), pace="fast")
        began = time.perf_counter()
        stats = _run(config, model, engine, None).cameras[0].stats
        loop.append(stats.translated / (time.perf_counter() - began))
        if stats.translated != len(frames):
            raise SystemExit(f"the loop translated {stats.translated} of {len(frames)} frames")
    return {
        "rounds": rounds,
        "engine_fps": round(statistics.median(bare), 1),
        "loop_fps": round(statistics.median(loop), 1),
        "loop / engine": round(statistics.median(a / b for a, b in zip(loop, bare, strict=True)), 3),
    }


def _bare(engine: Engine, frames: list[NDArray[np.uint8]]) -> float:
    began = time.perf_counter()
    for frame in frames:
        engine(frame[None])
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
