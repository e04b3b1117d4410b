"""Hours of faults: what comes back, how soon, and what it costs in memory, threads and files.

    python -m benchmarks.soak reconnects outages mixed16 overload kill fuzz --json benchmarks/results/soak.json

Each case runs the whole line (reader, batcher, engine, outputs where it says so) on RTSP cameras of GStreamer's
server behind ``tests.faults.proxy``, with a real checkpoint of the smallest generator, made on the spot:

- ``reconnects``: after four minutes in which buffers fill, a thousand connections are cut. All come back;
  resident memory grows by less than 1 MB after the first fifty, threads and file descriptors not at all.
- ``outages``: cameras are away for random times. 95 of 100 first translated frames come within 2 s of the first try
  that could succeed.
- ``mixed16``: sixteen cameras, all well; then one each dead, stalled, damaged (1 % of the bytes), flooding (four
  times the rate) and refusing the login. The other eleven keep 95 % of the rate they had before, in the same run.
- ``overload``: four times as many frames as the engine can do. 95 of 100 latencies stay below ``max_age`` and one
  batch; resident memory stays within 2 % after the first quarter.
- ``flood``: a camera turns to four times its rate, more than the engine can do. Resident memory stays within 2 %
  after the first quarter, and latencies below ``max_age`` and one batch.
- ``kill``: the command is killed in mid-recording, 50 times. At most 2 s of picture are lost, and every file plays.
- ``fuzz``: session descriptions and RTP that lie, to a reader in a process of its own. No crash; after the first
  quarter resident memory grows by less than 1 MB, and what is allocated by less than 0.1 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.stream import _cpu
from nightday.engines import Engine, load_engine
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import GeneratorSettings, NightToDay
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.sources.reader import Reader
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.runtime import Outcome, Runtime, Setup
from nightday.pipeline.translation.engine_call import Translate
from tests.faults.damaged_clips import clip
from tests.faults.proxy import Fault, Proxy, ProxyProcess
from tests.faults.usage import Held, Usage, settle_interned
from tests.support.rtsp_server import RtspServer

ROOT = Path(__file__).parents[1]
SIZE = (96, 64)
AT_ONCE = Backoff(first=0.05, cap=0.05, floor=0.01)
LOOK = 0.02  # seconds between looks at a run
LOST = 60.0  # seconds after which what is waited for is given up

Figures = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases named and print their figures; exit 1 if a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("case", nargs="+", choices=tuple(CASES))
    parser.add_argument("--reconnects", type=int, default=1000)
    parser.add_argument("--warm-up", type=float, default=240.0, help="seconds before the first reconnect")
    parser.add_argument("--outages", type=int, default=60)
    parser.add_argument("--longest", type=float, default=45.0, help="seconds of the longest outage")
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="of overload, flood and fuzz, and of mixed16's halves"
    )
    parser.add_argument("--fps", type=int, default=10, help="of mixed16's cameras")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args(argv)
    print(f"seed {arguments.seed}", file=sys.stderr, flush=True)
    settle_interned()
    results: Figures = {
        "machine": f"{_cpu()}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "seed": arguments.seed,
        "cases": {},
    }
    for name in arguments.case:
        with tempfile.TemporaryDirectory() as folder:
            figures = CASES[name](arguments, Path(folder))
        results["cases"][name] = figures
        print(json.dumps({name: figures}, indent=1), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(figures["met"] for figures in results["cases"].values()) else 1


def reconnects(arguments: argparse.Namespace, work: Path) -> Figures:
    """Cut four cameras again and again, by turns as a server that closes and as one that dies."""
    names = [f"cut{number}" for number in range(4)]
    rounds = -(-arguments.reconnects // len(names))
    settled: Usage | None = None
    highest = 0
    seconds = []
    course: list[tuple[float, float]] = []
    fast = mock.patch("nightday.pipeline.supervision.camera.Reader", partial(Reader, backoff=AT_ONCE))
    with ExitStack() as stack:
        server = stack.enter_context(RtspServer(record=work, clip=_clip(work)))
        proxy = stack.enter_context(ProxyProcess(server.port))
        stack.enter_context(fast)
        run = stack.enter_context(_running({name: proxy.url("/cam") for name in names}, work))

        def lost(times: int) -> bool:
            return all(sum(run.look(name).stats.reconnects.values()) >= times for name in names)

        def shown(since: dict[str, int]) -> bool:
            return all(run.look(name).stats.up and run.look(name).pictures > since[name] for name in names)

        run.wait(partial(shown, dict.fromkeys(names, 0)))
        time.sleep(arguments.warm_up)
        for number in range(1, rounds + 1):
            began = time.monotonic()
            proxy.cut("rst" if number % 2 else "fin")
            run.wait(partial(lost, number))
            run.wait(partial(shown, {name: run.look(name).pictures for name in names}))
            seconds.append(time.monotonic() - began)
            server.forget()
            last = Usage.now()
            if settled is None and number * len(names) >= min(50, arguments.reconnects // 2):
                settled = last
            highest = max(highest, last.rss if settled else 0)
            if settled and number % max(1, rounds // 8) == 0:
                course.append((round(last.rss / 1e6, 2), round(Held.now().c / 1e6, 2)))
        counted = [sum(run.look(name).stats.reconnects.values()) for name in names]
    assert settled is not None
    growth = last.rss - settled.rss
    return {
        "bar": "all recover; RSS grows < 1 MB after the first 50; threads and descriptors flat",
        "reconnects": sum(counted),
        "recovered": rounds * len(names),
        "seconds_to_recover_p95": _percentile(seconds, 95),
        "rss_mb_after_first_50": round(settled.rss / 1e6, 2),
        "rss_growth_mb": round(growth / 1e6, 3),
        "rss_growth_at_most_mb": round((highest - settled.rss) / 1e6, 3),
        "rss_and_allocated_mb": course,
        "threads": [settled.threads, last.threads],
        "descriptors": [settled.fds, last.fds],
        "met": bool(
            sum(counted) >= rounds * len(names)
            and growth < 1e6
            and last.threads <= settled.threads
            and last.fds <= settled.fds
        ),
    }


def outages(arguments: argparse.Namespace, work: Path) -> Figures:
    """Four cameras, each away at its own random times, with the back-off everybody has."""
    names = [f"away{number}" for number in range(4)]
    rng = random.Random(arguments.seed)
    plans = {
        name: [rng.uniform(0.5, arguments.longest) for _ in range(-(-arguments.outages // len(names)))]
        for name in names
    }
    took: list[float] = []
    failures: list[str] = []
    with ExitStack() as stack:
        server = stack.enter_context(RtspServer(record=work, clip=_clip(work)))
        proxies = {name: stack.enter_context(Proxy(server.port)) for name in names}
        run = stack.enter_context(_running({name: proxies[name].url("/cam") for name in names}, work))

        def suffer(name: str) -> None:
            proxy = proxies[name]
            try:
                for length in plans[name]:
                    run.wait(lambda: _playing(run.look(name)))
                    proxy.outage()
                    run.wait(lambda: not run.look(name).stats.up)
                    time.sleep(length)
                    pictures, links = run.look(name).pictures, len(proxy.links)
                    proxy.accept()
                    run.wait(lambda: len(proxy.links) > links)  # noqa: B023 - called at once
                    run.wait(lambda: run.look(name).pictures > pictures)  # noqa: B023 - called at once
                    took.append(time.monotonic() - proxy.links[links].accepted_at)
            except TimeoutError as error:
                failures.append(f"{name}: {error}")

        threads = [threading.Thread(target=suffer, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    p95 = _percentile(took, 95) if took else None
    return {
        "bar": "p95 of (first translated frame - the try that got through) <= 2 s; all come back",
        "outages": sum(map(len, plans.values())),
        "longest_outage_s": round(max(max(plan) for plan in plans.values()), 1),
        "came_back": len(took),
        "seconds_p50": _percentile(took, 50) if took else None,
        "seconds_p95": p95,
        "seconds_max": round(max(took), 3) if took else None,
        "failures": failures,
        "met": bool(not failures and p95 is not None and p95 <= 2.0),
    }


def mixed16(arguments: argparse.Namespace, work: Path) -> Figures:
    """The rates of eleven cameras without and with five bad neighbours, in one run."""
    good = [f"good{number}" for number in range(11)]
    bad = ("dead", "stalled", "damaged", "flooding", "login")
    seconds = arguments.minutes * 60
    normal, flood = _clip(work, rate=arguments.fps), _clip(work, rate=4 * arguments.fps)
    with ExitStack() as stack:
        servers = {name: RtspServer(record=work, clip=normal) for name in ("others", "flooding", "login")}
        for server in servers.values():
            stack.enter_context(server)
        proxies = {
            name: stack.enter_context(Proxy(servers.get(name, servers["others"]).port))
            for name in (*good, *bad)
        }
        run = stack.enter_context(
            _running({name: proxy.url("/cam") for name, proxy in proxies.items()}, work)
        )
        run.wait(lambda: all(_playing(run.look(name)) for name in proxies))
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
    """An engine that does ``rate`` frames a second at most, and knows its longest batch."""

    def __init__(self, engine: Translate, rate: float) -> None:
        self._engine = engine
        self._rate = rate
        self.longest = 0.0

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Translate, at leisure."""
        began = time.monotonic()
        result = self._engine(frames)
        time.sleep(max(0.0, began + len(frames) / self._rate - time.monotonic()))
        self.longest = max(self.longest, time.monotonic() - began)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def overload(arguments: argparse.Namespace, work: Path) -> Figures:
    """Four cameras of 25 fps, recorded, through an engine that does 25 frames a second."""
    names = [f"busy{number}" for number in range(4)]
    seconds = arguments.minutes * 60
    max_age = 1.0
    samples: list[int] = []
    slow: list[Slowed] = []

    def slowed(engine: Translate) -> Translate:
        slow.append(Slowed(engine, 25.0))
        return slow[0]

    with RtspServer(record=work, clip=_clip(work)) as server:
        urls = {name: server.url("/cam") for name in names}
        with _running(urls, work, engine=slowed, outputs=True, max_age=max_age) as run:
            run.wait(lambda: all(_playing(run.look(name)) for name in names))
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
    """A camera of 25 fps, recorded, that turns to 100; the engine does 50."""
    seconds = arguments.minutes * 60
    max_age = 1.0
    fast = _clip(work, rate=100)
    slow: list[Slowed] = []

    def slowed(engine: Translate) -> Translate:
        slow.append(Slowed(engine, 50.0))
        return slow[0]

    samples: list[Usage] = []
    with RtspServer(record=work, clip=_clip(work)) as server:
        urls = {"flooding": server.url("/cam")}
        with _running(urls, work, engine=slowed, outputs=True, max_age=max_age) as run:
            run.wait(lambda: _playing(run.look("flooding")))
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


def kill(arguments: argparse.Namespace, work: Path) -> Figures:
    """Kill the command in mid-recording."""
    sys.path.insert(0, str(ROOT / "tests"))  # as pytest does
    from tests.faults.test_recording import MAY_LOSE, kill_under_way

    rng = random.Random(arguments.seed)
    done = []
    for number in range(arguments.kills):
        folder = work / str(number)
        folder.mkdir()
        done.append(kill_under_way(folder, after=rng.uniform(0.1, 8.0)))
    lost = [each.lost for each in done]
    complaints = [each.complaints for each in done if each.complaints]
    return {
        "bar": f"at most {MAY_LOSE:g} s lost and every file plays, after each SIGKILL",
        "kills": len(done),
        "lost_s_p50": _percentile(lost, 50),
        "lost_s_max": round(max(lost), 3),
        "files_with_complaints": len(complaints),
        "met": max(lost) <= MAY_LOSE and not complaints,
    }


def fuzz(arguments: argparse.Namespace, _work: Path) -> Figures:
    """Lies on the wire, in a child process."""
    seconds = arguments.minutes * 60
    command = [sys.executable, "-m", "tests.faults.rtsp_fuzz", "--seed", str(arguments.seed)]
    command += ["--seconds", str(seconds), "--settle", str(seconds / 4)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    told: Figures = json.loads(done.stdout) if done.returncode == 0 else {"stderr": done.stderr[-2000:]}
    return {
        "bar": "no crash; after the first quarter RSS grows < 1 MB, and what C holds < 0.1 MB",
        "returncode": done.returncode,
        **told,
        "met": bool(
            done.returncode == 0 and told["rss_growth"] < 1e6 and told["c_mb"][-1] - told["c_mb"][0] < 0.1
        ),
    }


CASES: dict[str, Callable[[argparse.Namespace, Path], Figures]] = {
    "reconnects": reconnects,
    "outages": outages,
    "mixed16": mixed16,
    "overload": overload,
    "flood": flood,
    "kill": kill,
    "fuzz": fuzz,
}


class _Run:
    """A run under way, looked at from other threads."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._seen: dict[str, CameraStatus] = {}

    def look(self, name: str) -> CameraStatus:
        """The camera's state, at most 10 ms old."""
        with self._lock:
            if time.monotonic() - self._looked_at > LOOK / 2:
                self._seen = {status.name: status for status in self._runtime.cameras()}
                self._looked_at = time.monotonic()
            return self._seen[name]

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until ``holds``. Raises TimeoutError after ``LOST`` seconds."""
        deadline = time.monotonic() + LOST
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{ {status.name: (status.state, status.reason) for status in self._runtime.cameras()} }"
                )
            time.sleep(LOOK)

    def rates(self, names: Sequence[str], seconds: float) -> dict[str, float]:
        """Translated pictures a second of each camera, over ``seconds``."""
        before = {name: self.look(name).stats.translated for name in names}
        began = time.monotonic()
        time.sleep(seconds)
        passed = time.monotonic() - began
        return {name: (self.look(name).stats.translated - before[name]) / passed for name in names}


@contextmanager
def _running(
    urls: dict[str, str],
    work: Path,
    *,
    engine: Callable[[Translate], Translate] = lambda engine: engine,
    outputs: bool = False,
    **camera: Any,
) -> Iterator[_Run]:
    """Run the cameras on the smallest generator, everything translated; ended by a stop that must be clean."""
    model = work / "tiny.pt"
    torch.manual_seed(0)
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    loaded: Engine = load_engine(model)
    loaded.prepare(SIZE[1], SIZE[0])
    cameras = [
        {
            "name": name,
            "url": url,
            "model": str(model),
            "translate": "always",
            "outputs": [str(work / "out" / name / "%Y%m%d-%H%M%S.mp4")] if outputs else [],
            "background": {"save": str(work / "out" / f"{name}.png"), "frames": 5},
            **camera,
        }
        for name, url in urls.items()
    ]
    config = Config.model_validate({"cameras": cameras})
    inbox, outcomes = CommandQueue(), list[Outcome]()
    runtime = Runtime(Setup(config, {model: engine(loaded)}), commands=inbox)
    thread = threading.Thread(
        target=lambda: outcomes.append(runtime.run(duration=None, report=None, report_every=1.0))
    )
    thread.start()
    try:
        yield _Run(runtime)
    finally:
        inbox.put("stop")
        thread.join(LOST)
    if not outcomes or not outcomes[0].clean or outcomes[0].problems:
        raise SystemExit(f"the run did not end well: {outcomes[0].problems if outcomes else 'it hangs'}")


def _playing(status: CameraStatus) -> bool:
    return status.stats.up and status.pictures > 0


def _clip(work: Path, *, rate: int = 25) -> Path:
    return clip(work / f"{rate}.mp4", size=SIZE, rate=rate, frames=2 * rate, moving=True)


def _percentile(values: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 3)


if __name__ == "__main__":
    raise SystemExit(main())
