"""The pipeline on RTSP cameras: one camera end to end, and four compared with other programs; on two cores.

    python -m benchmarks.against --roboflow PYTHON

It prints its figures and writes them to benchmarks/results/against.json. GStreamer's RTSP server runs on this
machine. It shares the same two cores with one contestant at a time. Rounds alternate, and the results are medians of
their ratios.

- ``single``: one camera of 640×360 at 25 fps, translated and restreamed to the server it came from. 25 fps, and p95
  below 200 ms from when the server sent a frame to when it had the translated one back. Both moments are the
  server's; the time stamps, which a restream keeps, tell which frame it is. That is all there is between a camera's
  encoder and a viewer's decoder, but for the network. FFmpeg takes 40 ms of it before decoding: it hands out a frame
  when the next one begins, to every program that reads RTSP with it.
- ``four``: four cameras of 352×288 at 25 fps, the compact generator. Translated frames: at least 5 times those of
  OpenCV and eager PyTorch (``opencv``), 1.3 times those of Roboflow's InferencePipeline with the very same engine
  (``roboflow``).
- ``light``: the same with the light model, four cameras at 60 fps, more than any contestant can do: what is left is
  what everything around the engine costs.
- ``overload``: the compact generator again, and the cameras send twice what the pipeline did translate of them under
  ``four``. p95 from decoded to written: at most half of either's. Ages, which count from when the camera sent a
  frame, are told beside it.

- ``mixed``: four cameras at 60 fps of which two are quiet (a still yard, and one with a walker) and two busy, the
  general model with each camera's own backgrounds, which every contestant gives to the very same engine: at least 1.5
  times the frames of InferencePipeline. Without ``--roboflow`` it is left out.

The pipeline writes H.264, the others MPEG-4 part 2, which is what OpenCV has. PYTHON is an interpreter of an
environment with ``inference``, torch and openvino, the last two in this project's versions.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch

from benchmarks.against.figures import Figures, figures_of, percentile, ratio
from benchmarks.against.material import CLIP, LIGHT, ROOT, clip, compact, mixed_scenes
from benchmarks.against.notes import Job, Notes
from nightday.engines import load_engine
from nightday.engines.bundled import bundled_weights
from nightday.engines.cache import machine
from nightday.train.footage.scene import read_frames
from tests.support.rtsp_server import RtspServer

CORES = 2
CAMERAS = 4
SINGLE, SMALL = (360, 640), (288, 352)
EAGER = ("eager", "fp32")
SUSTAINED = 0.995  # of the camera's rate: five frames in a thousand
LONGEST = 150.0  # seconds of a contestant besides its job's

Engine = tuple[str, str]
Row = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, print and write everything; exit 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.against", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--roboflow", type=Path, help="Python of an environment with inference")
    parser.add_argument("--seconds", type=float, default=30.0, help="that count of each run")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds before them")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--mixed", action="store_true", help="measure mixed alone, and put it into what --json holds"
    )
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "against.json")
    args = parser.parse_args(argv)
    if args.mixed and args.roboflow is None:
        parser.error("--mixed needs --roboflow")
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)  # children, the server among them, have them too
    figures: Row = {
        "command": f"python -m benchmarks.against --seconds {args.seconds:g} --settle {args.settle:g} "
        f"--rounds {args.rounds}{' --roboflow PYTHON' if args.roboflow else ''}{' --mixed' if args.mixed else ''}",
        "date": datetime.date.today().isoformat(),
        "hardware": f"{machine.cpu()}; {len(cores)} of {os.cpu_count()} cores",
        "load average before": round(os.getloadavg()[0], 1),
        "software": f"Python {platform.python_version()}, torch {torch.__version__}, OpenVINO {ov.__version__}",
    }
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.roboflow, args.rounds, args.seconds, args.settle)
        figures["engines"] = {name: " ".join(engine) for name, engine in bench.engines.items()}
        if args.mixed:
            held = json.loads(args.json.read_text())
            held["mixed"] = {**figures, **bench.mixed(60)}
            args.json.write_text(json.dumps(held, indent=1) + "\n")
            print(json.dumps(held["mixed"], indent=1))
            return 0
        figures["single"] = [bench.single(name) for name in bench.models]
        figures["four"] = four = bench.beside("compact", 25)
        figures["light"] = bench.beside("light", 60)
        rate = math.ceil(2 * four["pipeline"]["fps"] / CAMERAS)
        figures["overload"] = bench.beside("compact", rate)
        if args.roboflow is not None:
            figures["mixed"] = bench.mixed(60)
    figures["load average after"] = round(os.getloadavg()[0], 1)
    figures["missed"] = missed = misses(figures)
    args.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    return 1 if missed else 0


def misses(figures: Mapping[str, Any]) -> list[str]:
    """The bars that were not met, or not measured, in words."""
    found = []
    for row in figures["single"]:
        if row["fps"] < SUSTAINED * 25:
            found.append(f"single, {row['model']}: {row['fps']} fps, not 25")
        if not row["end to end p95 ms"] < 200:
            found.append(f"single, {row['model']}: {row['end to end p95 ms']} ms end to end, not below 200")
    for rival, bar in (("opencv", 5.0), ("roboflow", 1.3)):
        if rival not in figures["four"]:
            found.append(f"{rival}: not measured")
            continue
        if (times := figures["four"][rival]["pipeline's frames"]) < bar:
            found.append(f"four, {rival}: {times} times its frames, not {bar:g}")
        if (share := figures["overload"][rival]["pipeline's p95"]) > 0.5:
            found.append(f"overload, {rival}: {share} of its p95 latency, not 0.5")
    if "mixed" in figures and (times := figures["mixed"]["roboflow"]["pipeline's frames"]) < 1.5:
        found.append(f"mixed: {times} times the frames of roboflow, not 1.5")
    return found


class Bench:
    """Models and what is served, each made once.

    Args:
        folder: for all that is written.
        roboflow: the interpreter of its environment, if it is to be measured.
        rounds: of each comparison.
        seconds, settle: see ``Job``.
    """

    def __init__(
        self, folder: Path, roboflow: Path | None, rounds: int, seconds: float, settle: float
    ) -> None:
        self._folder = folder
        self._pythons: dict[str, Path] = {"pipeline": Path(sys.executable), "opencv": Path(sys.executable)}
        if roboflow is not None:
            self._pythons["roboflow"] = (
                roboflow.absolute()
            )  # not resolved: its name is what tells its packages
        self._rounds, self._seconds, self._settle = rounds, seconds, settle
        self._runs = 0
        self.models = {
            "light": LIGHT,
            "compact": compact(folder / "compact.pt"),
            "general": bundled_weights("general.pt"),
        }
        self.engines: dict[str, Engine] = {}
        """What ``auto`` takes, by model."""
        for name, model in self.models.items():
            engine = load_engine(model)
            for size in (SINGLE, SMALL):
                engine.prepare(*size)  # contestants find it in the cache
            self.engines[name] = (engine.info.backend, engine.info.precision)

    def single(self, model: str) -> Row:
        """One camera, restreamed."""
        source = self._clip(SINGLE, 25)
        with RtspServer(record=self._folder, clip=source) as server:
            job = replace(self._job(server, model, SINGLE, 25, cameras=1), restream=server.url("/day"))
            notes = self._run("pipeline", job)
            seconds = end_to_end(server, notes)
        own = figures_of(notes, 1)
        row = {
            "model": model,
            "size": "640×360",
            "fps": round(own.fps, 2),
            "end to end p50 ms": _ms(percentile(seconds, 50)),
            "end to end p95 ms": _ms(percentile(seconds, 95)),
            "decoded to sent p50 ms": _ms(own.latency_p50),
            "decoded to sent p95 ms": _ms(own.latency_p95),
            "cores": round(own.cpu, 2),
            **notes.more,
        }
        print(row, file=sys.stderr)
        return row

    def beside(self, model: str, rate: int) -> Row:
        """Four cameras of a rate through each contestant in turns; ratios are the pipeline's to the other's."""
        source = self._clip(SMALL, rate)
        return self._compared(model, rate, [source], list(self._pythons))

    def mixed(self, rate: int) -> Row:
        """As ``beside``, of two quiet and two busy cameras, each with its own backgrounds."""
        sources, known = [], []
        for scene in mixed_scenes(self._folder):
            nights = np.load(scene)["nights"]
            known.append(str(scene))
            height, width = SMALL
            sources.append(clip(scene.with_suffix(".mp4"), nights, height=height, width=width, rate=rate))
        names = [name for name in self._pythons if name != "opencv"]
        return self._compared("general", rate, sources, names, backgrounds=tuple(known))

    def _compared(
        self,
        model: str,
        rate: int,
        sources: Sequence[Path],
        names: Sequence[str],
        *,
        backgrounds: tuple[str, ...] = (),
    ) -> Row:
        """Rounds in turns, of cameras that the one source serves, or each its own."""
        found: dict[str, list[Figures]] = {name: [] for name in names}
        more: dict[str, Row] = {}
        for _ in range(self._rounds):
            for name, figures in found.items():
                with ExitStack() as open_servers:
                    servers = [
                        open_servers.enter_context(RtspServer(record=self._folder, clip=source))
                        for source in sources
                    ]
                    job = self._job(servers[0], model, SMALL, rate, cameras=CAMERAS)
                    urls = tuple(server.url("/cam") for server in servers)
                    if backgrounds:
                        job = replace(job, urls=urls, backgrounds=backgrounds)
                    notes = self._run(name, job)
                figures.append(figures_of(notes, CAMERAS))
                more[name] = notes.more
                print(model, rate, name, figures[-1], notes.more, file=sys.stderr)
        row: Row = {"model": model, "size": "352×288", "cameras": CAMERAS, "offered fps": CAMERAS * rate}
        for name, figures in found.items():
            row[name] = medians(figures) | more[name]
            if name != "pipeline":
                row[name]["pipeline's frames"] = ratio(found["pipeline"], figures, lambda each: each.fps)
                row[name]["pipeline's p95"] = ratio(found["pipeline"], figures, lambda each: each.latency_p95)
        return row

    def _job(self, server: RtspServer, model: str, size: tuple[int, int], rate: int, *, cameras: int) -> Job:
        folder = self._folder / f"run{self._runs}"
        self._runs += 1
        folder.mkdir()
        backend, precision = self.engines[model]
        return Job(
            urls=(server.url("/cam"),) * cameras,
            rate=rate,
            height=size[0],
            width=size[1],
            model=str(self.models[model]),
            backend=backend,
            precision=precision,
            folder=str(folder),
            settle=self._settle,
            seconds=self._seconds,
        )

    def _run(self, name: str, job: Job) -> Notes:
        if name == "opencv":
            job = replace(job, backend=EAGER[0], precision=EAGER[1])
        command = [str(self._pythons[name]), "-m", f"benchmarks.against.{name}", job.text()]
        log = Path(job.folder, "log")
        with log.open("w") as told:
            done = subprocess.run(
                command, cwd=ROOT.parent, stdout=told, stderr=told, timeout=job.settle + job.seconds + LONGEST
            )
        if done.returncode:
            raise SystemExit(f"{name} ended with {done.returncode}: {log.read_text()[-2000:]}")
        return Notes.load(Path(job.folder))

    def _clip(self, size: tuple[int, int], rate: int) -> Path:
        path = self._folder / f"{size[0]}at{rate}.mp4"
        if not path.exists():
            clip(path, read_frames(CLIP), height=size[0], width=size[1], rate=rate)
        return path


def end_to_end(server: RtspServer, notes: Notes) -> list[float]:
    """Seconds from when the server sent each frame to when it had the translated one, while the time counted.

    The restream's clock begins with its first picture, whose place on the camera's own the contestant noted.
    """
    events = server.forget()
    at = next(event["at"] for event in events if event["event"] == "started")
    came = [event for event in events if event["event"] == "recorded"]
    first = notes.notes[0].position - came[0]["pts"]
    counted = [one for one in came if 0 <= one["at"] - notes.begin < notes.seconds]
    return [one["at"] - at - one["pts"] - first for one in counted]


def medians(rounds: Sequence[Figures]) -> Row:
    """The rounds' medians, in a table's units, and their frames a second."""

    def median(of: Callable[[Figures], float]) -> float:
        return statistics.median(of(each) for each in rounds)

    return {
        "fps": round(median(lambda each: each.fps), 1),
        "fps by round": [round(each.fps, 1) for each in rounds],
        "fewest of a camera": round(median(lambda each: each.least), 2),
        "latency p50 ms": _ms(median(lambda each: each.latency_p50)),
        "latency p95 ms": _ms(median(lambda each: each.latency_p95)),
        "age p50 ms": _ms(median(lambda each: each.age_p50)),
        "age p95 ms": _ms(median(lambda each: each.age_p95)),
        "cores": round(median(lambda each: each.cpu), 2),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


if __name__ == "__main__":
    raise SystemExit(main())
