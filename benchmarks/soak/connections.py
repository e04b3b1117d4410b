"""Connections that are cut, and cameras that are away for a while."""

from __future__ import annotations

import argparse
import random
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import mock

from benchmarks.soak.run import Figures, clip_of, percentile, playing, running
from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.sources.reader import Reader
from tests.faults.proxy import Proxy, ProxyProcess
from tests.faults.usage import Held, Usage
from tests.support.rtsp_server import RtspServer

# Reconnect without waiting, so that a thousand reconnects take minutes.
AT_ONCE = Backoff(first=0.05, cap=0.05, floor=0.01)


def reconnects(arguments: argparse.Namespace, work: Path) -> Figures:
    """Cut four cameras again and again, in turns with FIN (a server that closes) and RST (one that dies)."""
    names = [f"cut{number}" for number in range(4)]
    rounds = -(-arguments.reconnects // len(names))
    settled: Usage | None = None
    highest = 0
    seconds = []
    course: list[tuple[float, float]] = []
    fast = mock.patch("nightday.pipeline.supervision.camera.Reader", partial(Reader, backoff=AT_ONCE))
    with ExitStack() as stack:
        server = stack.enter_context(RtspServer(record=work, clip=clip_of(work)))
        proxy = stack.enter_context(ProxyProcess(server.port))
        stack.enter_context(fast)
        run = stack.enter_context(running({name: proxy.url("/cam") for name in names}, work))

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
        "seconds_to_recover_p95": percentile(seconds, 95),
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
    """Four cameras, each away at its own random times. They reconnect with the default back-off."""
    names = [f"away{number}" for number in range(4)]
    rng = random.Random(arguments.seed)
    plans = {
        name: [rng.uniform(0.5, arguments.longest) for _ in range(-(-arguments.outages // len(names)))]
        for name in names
    }
    took: list[float] = []
    failures: list[str] = []
    with ExitStack() as stack:
        server = stack.enter_context(RtspServer(record=work, clip=clip_of(work)))
        proxies = {name: stack.enter_context(Proxy(server.port)) for name in names}
        run = stack.enter_context(running({name: proxies[name].url("/cam") for name in names}, work))

        def suffer(name: str) -> None:
            proxy = proxies[name]
            try:
                for length in plans[name]:
                    run.wait(lambda: playing(run.look(name)))
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
    p95 = percentile(took, 95) if took else None
    return {
        "bar": "p95 of (first translated frame - the try that got through) <= 2 s; all come back",
        "outages": sum(map(len, plans.values())),
        "longest_outage_s": round(max(max(plan) for plan in plans.values()), 1),
        "came_back": len(took),
        "seconds_p50": percentile(took, 50) if took else None,
        "seconds_p95": p95,
        "seconds_max": round(max(took), 3) if took else None,
        "failures": failures,
        "met": bool(not failures and p95 is not None and p95 <= 2.0),
    }
