"""What ``nightday-stream --plan`` says beside what really runs.

Of each kind so many cameras run in real time, one more each time, until the 95th percentile of a camera's latency is
above the budget or frames are dropped, twice. The last count before that is compared with the plan's, which is
measured in the same run. All of it has one processor: an RTSP server that cameras are read from has another.
"""

from __future__ import annotations

import math
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np

from nightday.engines import load_engine
from nightday.engines.backends.base import Engine
from nightday.engines.bundled import bundled_weights
from nightday.pipeline.cluster.planning.demands import Scene, Written, demand_of, one_output
from nightday.pipeline.cluster.planning.footage import DAY, FRAMES, NIGHT, RATE, Footage, make_footage
from nightday.pipeline.cluster.planning.measure import measure
from nightday.pipeline.cluster.planning.plan import Planner
from nightday.pipeline.cluster.planning.profile import Profile
from nightday.pipeline.cluster.planning.simulation import DROPPED_MOST
from nightday.pipeline.config.schema import GENERAL, Config
from nightday.pipeline.core.counters import CameraStats, Stage
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.runtime import run
from nightday.pipeline.translation.camera_pictures import CameraPictures
from tests.support.rtsp_server import RtspServer

BUDGET = 0.25
# Seconds that cameras run before anything counts, and those that count. After ten seconds all backgrounds are written
# for the first time, and then every five minutes.
WARM, COUNTED = 16.0, 20.0
# Seconds that clips last beyond that.
SPARE = 15.0
# By how much the rates of cameras differ, so that their frames meet in every way.
RATES_DIFFER = 0.02
# Runs of a count until it is taken not to be carried: a machine that others use, too, stands still at times.
TRIES = 2
# The count that is tried first, as a share of what the plan says; and one that has room in any case.
FIRST, WITH_ROOM = 0.9, 0.4


@dataclass(frozen=True, slots=True)
class Point:
    """A kind of camera that is measured."""

    size: tuple[int, int]
    fps: float
    scene: Scene
    written: Written
    source: str = "file"

    def __str__(self) -> str:
        height, width = self.size
        return f"{width}x{height}@{self.fps:g}, {self.scene}, {self.written}, from {self.source}"


POINTS = (
    Point((288, 352), 5.0, "busy", "recorded"),
    Point((288, 352), 25.0, "day", "recorded"),
    Point((720, 1280), 4.0, "day", "restreamed"),
    Point((288, 352), 25.0, "day", "recorded", "rtsp"),
)


def compare(*, core: int, points: Sequence[Point] = POINTS) -> dict[str, Any]:
    """Plan and measure each point on processor ``core``."""
    others = os.sched_getaffinity(0) - {core}
    os.sched_setaffinity(0, {core})
    engine = load_engine(bundled_weights(GENERAL))
    rows = []
    for point in points:
        profile = measure(engine, GENERAL, max_batch=8)
        rows.append(_compare(point, profile, engine, others))
        print(rows[-1], flush=True)
    return {
        "machine": profile.machine,
        "processors": profile.processors,
        "engine": profile.engine,
        "budget_ms": 1000 * BUDGET,
        "seconds_a_count": COUNTED,
        "load_average": os.getloadavg()[0],
        "points": rows,
    }


def _compare(point: Point, profile: Profile, engine: Engine, others: set[int]) -> dict[str, Any]:
    cost, planned = _planned(point, profile)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        footage = make_footage(point.size, Path(folder), clip=DAY if point.scene == "day" else NIGHT)

        def carried(count: int) -> bool:
            for _ in range(TRIES):
                runs.append(_run(point, footage, count, engine, others, Path(folder) / f"{len(runs)}"))
                print(point, runs[-1], flush=True)
                if runs[-1]["carried"]:
                    return True
            return False

        count = max(1, round(FIRST * planned))
        step = 1 if carried(count) else -1
        # Up while cameras are carried, or down until they are.
        while count + step and carried(count + step) == (step > 0):
            count += step
    # Beside other work the same code takes more or less time, so the machine is measured before and after.
    again = measure(engine, GENERAL, max_batch=8)
    cost_then, planned_then = _planned(point, again)
    measured = max((one["cameras"] for one in runs if one["carried"]), default=0)
    taken = float(np.median([one["processors"] / one["cameras"] for one in runs]))
    return {
        "point": str(point),
        "planned": [planned, planned_then],
        "measured": measured,
        "planned / measured": (planned + planned_then) / 2 / measured if measured else None,
        "processors_a_camera_planned": [cost, cost_then],
        "processors_a_camera_measured": taken,
        "runs": runs,
    }


def costs(*, core: int, points: Sequence[Point] = POINTS, rounds: int = 2) -> dict[str, Any]:
    """The processor time that a camera is planned to take and that it takes, on processor ``core``.

    It needs no idle machine: cameras that have room run between two measurements of the plan, again and again.
    """
    others = os.sched_getaffinity(0) - {core}
    os.sched_setaffinity(0, {core})
    engine = load_engine(bundled_weights(GENERAL))
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    profile = measure(engine, GENERAL, max_batch=8)
    for point in [point for _ in range(rounds) for point in points]:
        cost, planned = _planned(point, profile)
        with tempfile.TemporaryDirectory() as folder:
            footage = make_footage(point.size, Path(folder), clip=DAY if point.scene == "day" else NIGHT)
            count = max(1, round(WITH_ROOM * planned))
            figures = _run(point, footage, count, engine, others, Path(folder) / "run")
        profile = measure(engine, GENERAL, max_batch=8)
        took = figures["processors"] / count
        means = (cost + _planned(point, profile)[0]) / 2
        row = {"cameras": count, "planned": means, "took": took, "dropped": figures["dropped"]}
        rows[str(point)].append(row)
        print(point, row, "lock", profile.decode_lock, flush=True)
    return {
        "machine": profile.machine,
        "engine": profile.engine,
        "load_average": os.getloadavg()[0],
        "planned / took": {
            name: sum(one["planned"] for one in each) / sum(one["took"] for one in each)
            for name, each in rows.items()
        },
        "rounds": rows,
    }


def _planned(point: Point, profile: Profile) -> tuple[float, int]:
    """What a camera takes, in processors, and how many are carried."""
    planner = Planner(profile, budget=BUDGET, max_batch=8)
    height, width = point.size
    kind = one_output(width, height, point.fps, point.scene, point.written, live=point.source == "rtsp")
    carried = planner.most(lambda count: [demand_of(f"{n}", kind, profile) for n in range(count)])
    return demand_of("", kind, profile).cores, carried.count


def _run(
    point: Point, footage: Footage, count: int, engine: Engine, others: set[int], work: Path
) -> dict[str, Any]:
    work.mkdir()
    latencies: dict[int, list[tuple[float, float]]] = defaultdict(list)
    counted = CameraStats.count_latency

    def count_latency(self: CameraStats, seconds: float, *, stage: Stage = "output") -> None:
        counted(self, seconds, stage=stage)
        if stage == "output":
            latencies[id(self)].append((time.monotonic(), seconds))

    looks: list[tuple[float, float, Sequence[CameraStatus]]] = []
    commands = CommandQueue()

    def report(cameras: Sequence[CameraStatus], seconds: float) -> None:
        looks.append((time.monotonic(), time.process_time(), cameras))
        if seconds >= WARM + COUNTED:
            commands.put("stop")

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(CameraStats, "count_latency", count_latency))
        stack.enter_context(mock.patch.object(CameraPictures, "backgrounds", footage.backgrounds))
        urls = _urls(point, footage, count, others, work, stack)
        run(
            _config(point, urls, work),
            engines={bundled_weights(GENERAL): engine},
            report=report,
            commands=commands,
        )
    began, processor, before = next(look for look in looks if look[0] - looks[0][0] >= WARM - 1)
    ended, processor_then, after = looks[-2]
    return _figures(
        count,
        [[seconds for at, seconds in each if began <= at <= ended] for each in latencies.values()],
        _frames(after) - _frames(before),
        dict(_dropped(after) - _dropped(before)),
        (processor_then - processor) / (ended - began),
    )


def _figures(
    count: int, latencies: Sequence[Sequence[float]], frames: int, dropped: dict[str, int], processors: float
) -> dict[str, Any]:
    p95 = max(float(np.percentile(each, 95)) if each else float("inf") for each in latencies)
    share = sum(dropped.values()) / max(1, frames)
    return {
        "cameras": count,
        "p95_ms": 1000 * p95,
        "dropped": share,
        "reasons": dropped,
        "processors": processors,
        "load_average": os.getloadavg()[0],
        "carried": p95 <= BUDGET and share <= DROPPED_MOST and len(latencies) >= count,
    }


def _frames(cameras: Sequence[CameraStatus]) -> int:
    return sum(camera.stats.decoded + camera.stats.dropped.get("skipped", 0) for camera in cameras)


def _dropped(cameras: Sequence[CameraStatus]) -> Counter[str]:
    return sum((Counter(camera.stats.dropped) for camera in cameras), Counter())


def _urls(
    point: Point, footage: Footage, count: int, others: set[int], work: Path, stack: ExitStack
) -> list[str]:
    rng = random.Random(count)
    if point.source == "rtsp":
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, others)  # the server inherits it
        clip = _at_rate(footage.path, point.fps, work / "served.mp4")
        server = stack.enter_context(RtspServer(record=work, clip=clip))
        os.sched_setaffinity(0, own)
        return [server.url("/cam")] * count
    urls = []
    for number in range(count):
        rate = point.fps * (1 + rng.uniform(-RATES_DIFFER, RATES_DIFFER))
        urls.append(str(_at_rate(footage.path, rate, work / f"{number}.mp4")))
    return urls


def _at_rate(clip: Path, fps: float, path: Path) -> Path:
    """A copy of a clip that is played at another rate, again and again until the measurement is over.

    A camera has no end; a file that is opened anew gives its first picture at once, in place of the one before.
    """
    with av.open(str(clip)) as source, av.open(str(path), "w") as copy:
        stream = source.streams.video[0]
        out = copy.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.pts is not None]
        assert stream.time_base is not None
        length = round(FRAMES / RATE / stream.time_base)
        stamps = [(packet.pts or 0, packet.dts or 0, packet.duration or 0) for packet in packets]
        for again in range(math.ceil((WARM + COUNTED + SPARE) * fps / FRAMES)):
            for packet, (pts, dts, duration) in zip(packets, stamps, strict=True):
                packet.pts = round((pts + again * length) * RATE / fps)
                packet.dts = round((dts + again * length) * RATE / fps)
                packet.duration = round(duration * RATE / fps)
                packet.stream = out
                packet.time_base = stream.time_base
                copy.mux(packet)
    return path


def _config(point: Point, urls: Sequence[str], work: Path) -> Config:
    return Config.model_validate(
        {
            "cameras": [
                {
                    "name": f"camera{number}",
                    "url": url,
                    "learn": False,
                    # By day a camera has its model and its gate as well.
                    "translate": "always" if point.scene == "busy" else "night",
                    "outputs": [
                        f"{work}/out/{number}/%Y%m%d-%H%M%S.mp4"
                        if point.written == "recorded"
                        else f"udp://127.0.0.1:{20_000 + number}"
                    ],
                }
                for number, url in enumerate(urls)
            ]
        }
    )
