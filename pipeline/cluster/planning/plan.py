"""What a machine carries, and machines like it: found by simulating more and more cameras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..placement import CameraDemand, Node, place
from .demands import CameraKind, demand_of
from .memory import PROGRAM_BYTES
from .profile import Profile
from .simulation import Demand, Locks, Outcome, simulate

Limit = Literal["processor", "latency", "memory", "interpreter"]
"""What is used up first: the processors, the time within which pictures must be there, the memory, or the
interpreter's lock, which bounds what one process does on any number of processors."""

# Most machines that are tried out for a configuration.
MOST_MACHINES = 1000
# Frame rates that are tried out where a configuration does not fit, and the heights of smaller pictures.
RATES = (20.0, 15.0, 12.0, 10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
HEIGHTS = (1080, 720, 576, 480, 360, 288)


@dataclass(frozen=True, slots=True)
class Carried:
    """How many cameras a machine carries, and what would be too much with one more.

    Attributes:
        count: cameras.
        limit: what an additional one would exceed.
        p95: of the cameras that are carried, seconds; None where there are none.
    """

    count: int
    limit: Limit
    p95: float | None


class Planner:
    """Answers questions on one machine and those like it.

    Args:
        profile: of the machine.
        budget: seconds that the 95th percentile of latencies may be.
        max_batch: most frames that the engine is given at once.
    """

    def __init__(self, profile: Profile, *, budget: float, max_batch: int) -> None:
        self.profile = profile
        self.budget = budget
        self._batch = 1 if profile.at_once is not None else max_batch
        self._locks = Locks(
            decode=profile.decode_lock,
            work=profile.work_lock,
            encode=profile.encode_lock,
            night_spread=profile.night_spread,
            encode_spread=profile.encode_spread,
        )

    def outcome(self, demands: Sequence[Demand]) -> Outcome:
        """What becomes of cameras on one machine."""
        return simulate(
            demands,
            processors=self.profile.processors,
            workers=self.profile.at_once or 1,
            max_batch=self._batch,
            locks=self._locks,
            on_gpu=self.profile.on_gpu,
        )

    def fault(self, demands: Sequence[Demand]) -> Limit | None:
        """What is too much about cameras on one machine; None where nothing is."""
        if (limit := self._obvious(demands)) is not None:
            return limit
        return None if self.outcome(demands).within(self.budget) else "latency"

    def most(self, cameras: Callable[[int], Sequence[Demand]]) -> Carried:
        """How many cameras a machine carries, where ``cameras`` gives so many."""
        low, high = 0, 1
        while self._obvious(cameras(high)) is None:
            low, high = high, 2 * high
        # What neither memory nor processors forbid, then what the simulation does not.
        low, high = _bisect(low, high, lambda count: self._obvious(cameras(count)) is None)
        limit: Limit = self._obvious(cameras(high)) or "processor"
        if low and not self.outcome(cameras(low)).within(self.budget):
            limit = "latency"
            low = self._fewer(low, cameras)
        p95 = max(self.outcome(cameras(low)).p95) if low else None
        return Carried(low, limit, p95)

    def _fewer(self, many: int, cameras: Callable[[int], Sequence[Demand]]) -> int:
        """How many are carried of fewer than ``many``; nearly as many as a rule."""

        def carried(count: int) -> bool:
            return self.outcome(cameras(count)).within(self.budget)

        high, step = many, max(1, many // 50)
        while (low := max(0, many - step)) and not carried(low):
            high, step = low, 2 * step
        return _bisect(low, high, carried)[0]

    def spread(self, demands: Sequence[Demand], machines: int) -> Mapping[str, str] | None:
        """Which of so many machines carries which camera, placed as in a cluster; None if they do not fit."""
        nodes = [
            Node(f"machine {number}", float(self.profile.processors), gpu=self.profile.on_gpu)
            for number in range(1, machines + 1)
        ]
        placed = place([CameraDemand(demand.name, demand.cores) for demand in demands], nodes)
        if placed.unplaced:
            return None
        for node in nodes:
            own = [demand for demand in demands if placed.assigned[demand.name] == node.name]
            if own and self.fault(own) is not None:
                return None
        return placed.assigned

    def machines_for(self, demands: Sequence[Demand]) -> int | None:
        """The fewest machines like this one that carry cameras; None where more do not help."""
        if any(self.fault([demand]) is not None for demand in demands):
            return None
        low, high = 0, 1
        while self.spread(demands, high) is None:
            low, high = high, 2 * high
            if high > MOST_MACHINES:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.spread(demands, middle) is None else (low, middle)
        return high

    def remedies(
        self, cameras: Mapping[str, CameraKind], profiles: Mapping[str, Profile], machines: int
    ) -> list[str]:
        """What to change so that cameras fit on so many machines, a clause each.

        Args:
            cameras: by name.
            profiles: of their models, by the cameras' names.
            machines: that there are.
        """

        def demands(changed: Mapping[str, CameraKind]) -> list[Demand]:
            return [demand_of(name, kind, profiles[name]) for name, kind in changed.items()]

        def fit(changed: Mapping[str, CameraKind]) -> bool:
            return self.spread(demands(changed), machines) is not None

        found = []
        if (needed := self.machines_for(demands(cameras))) is not None:
            found.append(f"{needed} machines like this one")
        if (rate := next((rate for rate in RATES if fit(_at_rate(cameras, rate))), None)) is not None:
            found.append(f"at most {rate:g} frames a second from each camera")
        if (lines := next((lines for lines in HEIGHTS if fit(_at_height(cameras, lines))), None)) is not None:
            found.append(f"pictures of at most {lines} lines from each camera, such as its second stream")
        return found

    def _obvious(self, demands: Sequence[Demand]) -> Limit | None:
        """What is too much by the sums alone."""
        locks = self._locks
        if PROGRAM_BYTES + sum(demand.memory for demand in demands) > self.profile.memory:
            return "memory"
        locked = (locks.decode + locks.work + locks.encode * len(one.outputs) for one in demands)
        if sum(one.fps * seconds for one, seconds in zip(demands, locked, strict=True)) > 1:
            return "interpreter"
        return "processor" if sum(demand.cores for demand in demands) > self.profile.processors else None


def _bisect(low: int, high: int, holds: Callable[[int], bool]) -> tuple[int, int]:
    """The largest count for which it holds, and the next; it holds for ``low`` and not for ``high``."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def _at_rate(cameras: Mapping[str, CameraKind], fps: float) -> dict[str, CameraKind]:
    return {
        name: replace(
            kind,
            fps=min(kind.fps, fps),
            streams=tuple(replace(stream, fps=min(stream.fps, fps)) for stream in kind.streams),
        )
        for name, kind in cameras.items()
    }


def _at_height(cameras: Mapping[str, CameraKind], height: int) -> dict[str, CameraKind]:
    smaller = {}
    for name, kind in cameras.items():
        if kind.height > height:
            width = round(kind.width * height / kind.height)
            pixels = width * height
            streams = tuple(replace(stream, pixels=min(stream.pixels, pixels)) for stream in kind.streams)
            kind = replace(kind, width=width, height=height, streams=streams)
        smaller[name] = kind
    return smaller
