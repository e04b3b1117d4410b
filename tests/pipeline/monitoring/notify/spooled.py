"""Messages for a spool, and what sinks are made with."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from nightday.pipeline.core.clock import Clock, SystemClock
from nightday.pipeline.monitoring.notify.message import Message
from nightday.pipeline.monitoring.notify.sink import Surroundings
from nightday.pipeline.monitoring.notify.spool import Spool
from tests.support.media_helpers import Events
from tests.support.rtsp_server import WAIT


def messages(count: int, first: int = 0) -> list[Message]:
    return [Message("reloaded", None, f'{{"what": {number}}}') for number in range(first, first + count)]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def around(spool: Spool, told: Events, clock: Clock | None = None) -> Surroundings:
    return Surroundings(spool, told, clock or SystemClock(), random.Random(1))
