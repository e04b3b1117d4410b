"""More frames than the engine can translate, and cameras beside faulty ones."""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from benchmarks.soak.run import Figures, clip_of, playing, running
from nightday.engines import Engine
from tests.faults.proxy import Fault, Proxy
from tests.faults.usage import Usage
from tests.support.rtsp_server import RtspServer


def mixed16(arguments: argparse.Namespace, work: Path) -> Figures:
    """The rates of eleven cameras beside five good ones, then beside five faulty ones, in one run."""
    good = [f"good{number}" for number in range(11)]
    bad = ("dead", "stalled", "damaged", "flooding", "login")
    seconds = arguments.minutes * 60
    normal, flood = clip_of(work, rate=arguments.fps), clip_of(work, rate=4 * arguments.fps)
    with ExitStack() as stack:
        servers = {name: RtspServer(record=work, clip=normal) for name in ("others", "flooding", "login")}
        for server in servers.values():
            stack.enter_context(server)
        proxies = {
            name: stack.enter_context(Proxy(servers.get(name, servers["others"]).port))
            for name in (*good, *bad)
        }
        run = stack.enter_context(running({name: proxy.url("/cam") for name, proxy in proxies.items()}, work))
        run.wait(lambda: all(playing(run.look(name)) for name in proxies))
        time.sleep(min(5.0, seconds / 4))  # engines warm, slots in step
        control, memory = run.rates(list(proxies), seconds), [Usage.now().rss]
        proxies["dead"].outage()
        proxies["stalled"].set(Fault(stalled=True))
        proxies["damaged"].set(Fault(corrupt=0.01))
        servers["flooding"].switch(flood)
        servers["login"].lock("admin:another")
        time.sleep(min(5.0, seconds / 4))
        before = {name: run.look(name).stats for name in bad}
        faulty = run.rates(list(proxies), seconds)
        memory.append(Usage.now().rss)
        states = {
            name: {
                "state": run.look(name).state,
                "reason": run.look(name).reason,
                "decoded_fps": round((run.look(name).stats.decoded - before[name].decoded) / seconds, 2),
                "dropped": run.look(name).stats.dropped,
                "reconnects": run.look(name).stats.reconnects,
            }
            for name in bad
        }
    kept = {name: faulty[name] / control[name] for name in good}
    return {
        "bar": "each of the 11 healthy cameras keeps >= 95 % of its rate",
        "seconds_each": seconds,
        "control_fps": round(statistics.mean(control[name] for name in good), 2),
        "faulty_fps": round(statistics.mean(faulty[name] for name in good), 2),
        "kept_least": round(min(kept.values()), 4),
        "kept_mean": round(statistics.mean(kept.values()), 4),
        "rss_mb": [round(rss / 1e6, 1) for rss in memory],
        "bad": states,
        "met": min(kept.values()) >= 0.95,
    }


class Slowed:
    """An engine on the CPU that does at most ``rate`` frames a second, and keeps the duration of its longest batch.

    It takes one call at a time, because two calls side by side would do twice the rate.
    """

    def __init__(self, engine: Engine, rate: float) -> None:
        self.info = engine.info
        self.device: torch.device | None = None
        self.at_once: int | None = 1
        self.longest = 0.0
        self.needs_backgrounds = engine.needs_backgrounds
        self._engine = engine
        self._rate = rate

    def __call__(self, frames: Any, day_background: Any = None, night_background: Any = None) -> Any:
        """See ``translate``."""
        return self.translate(frames, day_background, night_background).day

    def translate(self, frames: Any, day_background: Any = None, night_background: Any = None) -> Any:
        """Translate, then wait as long as the rate asks for."""
        began = time.monotonic()
        result = self._engine.translate(frames, day_background, night_background)
        time.sleep(max(0.0, began + len(frames) / self._rate - time.monotonic()))
        self.longest = max(self.longest, time.monotonic() - began)
        return result

    def prepared(self, height: int, width: int) -> bool:
        """As the engine says."""
        return self._engine.prepared(height, width)

    def prepare(self, height: int, width: int) -> None:
        """Prepare the engine."""
        self._engine.prepare(height, width)


def overload(arguments: argparse.Namespace, work: Path) -> Figures:
    """Four cameras of 25 fps, recorded, through an engine that does 25 frames a second."""
    names = [f"busy{number}" for number in range(4)]
    seconds = arguments.minutes * 60
    max_age = 1.0
    samples: list[int] = []
    slow: list[Slowed] = []

    def slowed(engine: Engine) -> Engine:
        slow.append(Slowed(engine, 25.0))
        return slow[0]

    with RtspServer(record=work, clip=clip_of(work)) as server:
        urls = {name: server.url("/cam") for name in names}
        with running(urls, work, engine=slowed, outputs=True, max_age=max_age) as run:
            run.wait(lambda: all(playing(run.look(name)) for name in names))
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                if passed >= seconds / 4:
                    samples.append(Usage.now().rss)
                time.sleep(min(1.0, seconds / 100))
            last = {name: run.look(name) for name in names}
    p95 = max(status.stats.latency_p95 or 0.0 for status in last.values())
    spread = (max(samples) - samples[0]) / samples[0]
    growth = (statistics.mean(samples[-10:]) - statistics.mean(samples[:10])) / statistics.mean(samples[:10])
    return {
        "bar": "p95 latency <= max_age + one batch; RSS within 2 % after the first quarter",
        "minutes": arguments.minutes,
        "offered_fps": 25 * len(names),
        "translated_fps": round(sum(status.stats.translated for status in last.values()) / seconds, 2),
        "per_camera": {name: status.stats.translated for name, status in last.items()},
        "dropped": {name: status.stats.dropped for name, status in last.items()},
        "latency_p95_s": round(p95, 3),
        "longest_batch_s": round(slow[0].longest, 3),
        "max_age_s": max_age,
        "rss_mb": [round(samples[0] / 1e6, 1), round(samples[-1] / 1e6, 1)],
        "rss_growth": round(growth, 4),
        "rss_highest": round(spread, 4),
        "met": bool(p95 <= max_age + slow[0].longest and spread <= 0.02),
    }


def flood(arguments: argparse.Namespace, work: Path) -> Figures:
    """A camera of 25 fps, recorded, that goes over to 100 fps; the engine does 50."""
    seconds = arguments.minutes * 60
    max_age = 1.0
    fast = clip_of(work, rate=100)
    slow: list[Slowed] = []

    def slowed(engine: Engine) -> Engine:
        slow.append(Slowed(engine, 50.0))
        return slow[0]

    samples: list[Usage] = []
    with RtspServer(record=work, clip=clip_of(work)) as server:
        urls = {"flooding": server.url("/cam")}
        with running(urls, work, engine=slowed, outputs=True, max_age=max_age) as run:
            run.wait(lambda: playing(run.look("flooding")))
            time.sleep(min(10.0, seconds / 10))
            before = run.look("flooding").stats
            server.switch(fast)
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                if passed >= seconds / 4:
                    samples.append(Usage.now())
                time.sleep(min(1.0, seconds / 100))
            last = run.look("flooding").stats
    first, highest = samples[0], max(sample.rss for sample in samples)
    arrived = last.decoded + last.dropped.get("skipped", 0) - before.decoded
    p95 = last.latency_p95 or 0.0
    return {
        "bar": "RSS within 2 % after the first quarter; p95 <= max_age + one batch; threads, descriptors flat",
        "minutes": arguments.minutes,
        "arrived_fps": round(arrived / seconds, 1),
        "decoded_fps": round((last.decoded - before.decoded) / seconds, 1),
        "translated_fps": round((last.translated - before.translated) / seconds, 1),
        "dropped": last.dropped,
        "reconnects": last.reconnects,
        "latency_p95_s": round(p95, 3),
        "rss_mb": [round(samples[0].rss / 1e6, 1), round(samples[-1].rss / 1e6, 1)],
        "rss_highest": round(highest / first.rss - 1, 4),
        "threads": [first.threads, samples[-1].threads],
        "descriptors": [first.fds, samples[-1].fds],
        "met": bool(
            highest <= 1.02 * first.rss
            and p95 <= max_age + slow[0].longest
            and samples[-1].threads <= first.threads
            and samples[-1].fds <= first.fds
            and arrived / seconds > 75  # it did flood
        ),
    }
