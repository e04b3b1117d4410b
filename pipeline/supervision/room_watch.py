"""How many more cameras this machine can take, from what those that run have cost."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nightday.engines import cores

from ..core.counters import TOO_SLOW
from ..core.status import CameraStatus, Room, RunState
from ..translation.worker_pool import WorkerPool

# Seconds over which costs are measured, and over which the dearest of these counts: a night takes more than a day.
WINDOW = 20.0
REMEMBERED = 24 * 3600.0
# Share of the processors, and of the workers' time, that stays free: costs vary, and a queue needs room.
RESERVE = 0.1
# Share of the frames lost to overload above which there is no room, whatever the processors say.
LOST_MOST = 0.01

_SYSTEM = Path("/")


@dataclass(frozen=True, slots=True)
class _Counts:
    """Since the start: processor time, the workers' busy time, idle time of the machine; frames, and those lost."""

    at: float
    processor: float
    workers: float
    idle: float | None
    came: int
    lost: int


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a camera took, in processors and in workers."""

    at: float
    processors: float
    workers: float


class RoomWatch:
    """Looks at what the program takes, every ``WINDOW`` seconds.

    A camera more is taken to cost what those that run cost on average in the dearest window of the last day. It needs
    that of the processors: of those that this process may use, and of those of the machine that are idle or busy with
    what gives way, a training for instance. Where workers wait for a GPU, it needs that of their time as well.

    Args:
        processors: that this process may use; by default what is granted.
        processor_time: seconds of processor time that this process has used.
        idle_time: seconds that all processors of the machine together were idle, or busy with what gives way, since
            its start; None where that is not known.
    """

    def __init__(
        self,
        *,
        processors: int | None = None,
        processor_time: Callable[[], float] = time.process_time,
        idle_time: Callable[[], float | None] | None = None,
    ) -> None:
        self._processors = cores.processors() if processors is None else processors
        self._processor_time = processor_time
        self._idle_time = machine_idle if idle_time is None else idle_time
        self._before: _Counts | None = None
        self._dearest: deque[_Cost] = deque()
        self._since: float | None = None
        self.room: Room | None = None
        """What was found last; None until there is something to go by."""

    def due(self, now: float) -> bool:
        """Whether ``WINDOW`` seconds have passed since the last look, at ``now`` (monotonic seconds)."""
        return self._before is None or now - self._before.at >= WINDOW

    def skip(self) -> None:
        """Begin a new window."""
        self._before = None

    def watch(self, run: RunState, *, now: float, pool: WorkerPool, reloading: bool) -> None:
        """Look if it is time. What engines cost that are built or loaded is no camera's: then a new window begins.

        Args:
            run: the cameras, and whether their engines are there.
            now: monotonic seconds.
            pool: the workers.
            reloading: whether another configuration is being loaded.
        """
        if reloading or not run.engines_ready():
            self.skip()
        elif self.due(now):
            self.look(run.cameras(), now=now, workers=pool.workers, busy=pool.busy)

    def look(self, cameras: Sequence[CameraStatus], *, now: float, workers: int, busy: float) -> None:
        """Compare with the last look.

        Args:
            cameras: each at present.
            now: monotonic seconds.
            workers: how many there are.
            busy: seconds that they have been busy, all together.
        """
        before, self._before = self._before, self._counts(cameras, now, busy)
        up = sum(camera.stats.up for camera in cameras)
        if before is None or not up or busy < before.workers:
            return
        seconds = now - before.at
        took = self._before
        cost = _Cost(
            now,
            (took.processor - before.processor) / seconds / up,
            (took.workers - before.workers) / seconds / up,
        )
        self._remember(cost)
        free = self._processors * (1 - RESERVE) - up * cost.processors
        if took.idle is not None and before.idle is not None:
            free = min(free, (took.idle - before.idle) / seconds - self._processors * RESERVE)
        self.room = self._room(
            cost, free=free, up=up, workers=workers, lost=_share_lost(before, took), now=now
        )

    def _room(self, cost: _Cost, *, free: float, up: int, workers: int, lost: float, now: float) -> Room:
        dearest = max(one.processors for one in self._dearest)
        dearest_work = max(one.workers for one in self._dearest)
        # Those that run may come to cost as much again.
        left = free - up * (dearest - cost.processors)
        left_work = workers * (1 - RESERVE) - up * dearest_work
        more = min(_times(left, dearest), _times(left_work, dearest_work))
        assert self._since is not None
        return Room(
            more=0 if lost > LOST_MOST else more,
            camera=dearest,
            free=max(0.0, free),
            overloaded=lost > LOST_MOST,
            hours=min(REMEMBERED, now - self._since) / 3600,
        )

    def _remember(self, cost: _Cost) -> None:
        """Keep what may be the dearest of the last day until later ones are dearer."""
        self._since = cost.at - WINDOW if self._since is None else self._since
        while self._dearest and self._dearest[0].at < cost.at - REMEMBERED:
            self._dearest.popleft()
        while self._dearest and (
            self._dearest[-1].processors <= cost.processors and self._dearest[-1].workers <= cost.workers
        ):
            self._dearest.pop()
        self._dearest.append(cost)

    def _counts(self, cameras: Sequence[CameraStatus], now: float, busy: float) -> _Counts:
        stats = [camera.stats for camera in cameras]
        return _Counts(
            at=now,
            processor=self._processor_time(),
            workers=busy,
            idle=self._idle_time(),
            came=sum(one.decoded + one.dropped.get("skipped", 0) for one in stats),
            lost=sum(one.dropped.get(reason, 0) for one in stats for reason in TOO_SLOW),
        )


def machine_idle(system: Path = _SYSTEM) -> float | None:
    """Seconds that the machine's processors were idle, or busy at a lower priority; None where that is not known.

    Args:
        system: the folder with proc/.
    """
    try:
        words = (system / "proc/stat").read_text().split("\n", 1)[0].split()
        nice, idle, waiting = (int(words[column]) for column in (2, 4, 5))
    except (OSError, ValueError, IndexError):
        return None
    return (nice + idle + waiting) / os.sysconf("SC_CLK_TCK")


def _share_lost(before: _Counts, now: _Counts) -> float:
    return (now.lost - before.lost) / max(1, now.came - before.came)


def _times(left: float, cost: float) -> int:
    """How often a cost fits."""
    return int(max(0.0, left) / max(cost, 1e-6) + 1e-9)
