"""Forms batches across cameras out of what waits in their slots."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable, Sequence

from nightday.engines.backends.base import Engine

from ..core.clock import Clock
from ..core.frame import Frame
from .batch_delay import BatchDelay
from .channel import Channel
from .turns import Turns

# Seconds without a frame after which `next` returns, so that whoever calls it can show that it is alive.
IDLE = 0.5
# Seconds after which a camera need not wait any longer for one that has fewer turns.
HELD_MOST = 1.0

Taken = tuple[Channel, Frame]
"""A frame, and the channel whose slot it was in: by the time it is worked off another may have its camera's name."""


class Batcher:
    """Takes the frame that is due first, and with it those of other cameras that can share its batch.

    While a batch is being translated the next ones gather by themselves, so batches grow with the load and a
    lone camera has no added latency. Beyond that a batch waits for one more frame where ``BatchDelay`` finds that
    worth it.

    An engine that takes several calls ``at_once`` works on one frame in each, side by side. A batch for it is one
    frame, since in a larger one frames would only wait for one another. Any other engine gets one batch at a time.
    While frames wait, newer ones take their places.

    Several threads may take batches, each until it is ``done``; the frames of a camera that is in one wait for that.

    First is the camera whose turn begins first (see ``Turns``); among those, the one whose last turn is longest ago,
    and then the oldest frame. The age of frames alone would not be fair: under overload slots hold the newest, and of
    cameras that tick in step the one a few milliseconds behind would be the youngest for ever.

    Frames that need no engine take the processor from those that do. So that all cameras slow down when it is too
    slow, none has more than two turns (more, of cheap frames) while a frame of another waits; but none waits for that
    for more than about ``HELD_MOST`` seconds, so a camera whose engine hangs holds up nobody. A file at its fastest
    always has a frame that waits: nobody waits for it.

    Args:
        ready: the condition the slots share.
        max_batch: most frames in a batch.
        kind: what frames must agree on to share a batch, e.g. model and size. A slot shows its frame only on
            taking it, so a camera's kind is taken to be that of its last frame; where that proves wrong, as on
            a change of resolution, the odd frame comes as a batch of its own.
        clock: tells frames' ages.
    """

    def __init__(
        self,
        *,
        ready: threading.Condition,
        max_batch: int,
        kind: Callable[[Channel, Frame], Hashable],
        clock: Clock,
    ) -> None:
        self._channels: dict[str, Channel] = {}
        self._ready = ready
        self.max_batch = max_batch
        self.held = 0.0
        """Seconds for which batches were held open for one more frame, in all."""
        self._kind_of = kind
        self._clock = clock
        self._delay = BatchDelay()
        self._last_kind: dict[str, Hashable] = {}
        self._turns = Turns()
        self._last_turn_at: dict[str, float] = {}
        # Channels with a frame in a batch, and the engine it is for.
        self._under_way: dict[Channel, Engine | None] = {}

    def add(self, channel: Channel) -> None:
        """Take frames from ``channel`` from now on, in place of the one of its name, if there is one."""
        with self._ready:
            self._channels[channel.name] = channel
            self._ready.notify_all()

    def remove(self, name: str) -> None:
        """Take no more frames of camera ``name``."""
        with self._ready:
            for known in (self._channels, self._last_kind, self._last_turn_at):
                known.pop(name, None)
            self._delay.forget(name)
            self._turns.forget(name)

    def forget_kind(self, name: str) -> None:
        """Take the next frame of camera ``name`` into any batch it fits in: its kind is another from now on."""
        with self._ready:
            self._last_kind.pop(name, None)

    def ran(self, size: int, seconds: float) -> None:
        """Say what a batch of ``size`` frames took to translate."""
        with self._ready:
            self._delay.ran(size, seconds)

    def next(self, closed: threading.Event) -> list[list[Taken]]:
        """Wait for frames and take the next batch: nearly always one, each of one kind, in order of turns.

        Say ``done`` of what it returns. That is an empty list once ``closed`` is set (notify ``ready`` after setting
        it) and no frame waits, and when none came for ``IDLE`` seconds.
        """
        with self._ready:
            self._ready.wait_for(lambda: closed.is_set() or self._pending(), IDLE)
            began = self._clock.monotonic()
            while (late := self._wait_for_more(closed)) > 0:
                self._ready.wait(late)
            self.held += self._clock.monotonic() - began
            batches = self._take(self._clock.monotonic())
            self._under_way |= {channel: channel.engine for batch in batches for channel, _ in batch}
            if self._pending():  # a frame wakes one worker only
                self._ready.notify()
            return batches

    def done(self, batches: Sequence[Sequence[Taken]], took: float = 0.0) -> None:
        """Say that these have been worked off, in so many seconds.

        Who does asks for the ``next``, so nobody else is woken.
        """
        frames = [one for batch in batches for one in batch]
        with self._ready:
            for channel, _ in frames:
                self._under_way.pop(channel, None)
                if self._channels.get(channel.name) is channel:
                    self._turns.took(channel.name, took / len(frames))

    def _pending(self) -> list[str]:
        """The cameras with a frame that can be worked on now."""
        waiting = {name: channel for name, channel in self._channels.items() if channel.slot.pending}
        slowest = min(
            (self._turns.last(name) for name, channel in waiting.items() if not channel.lossless),
            default=math.inf,
        )
        return [
            name
            for name, channel in waiting.items()
            if channel not in self._under_way
            and self._has_room(channel.engine)
            and not self._is_ahead(name, slowest)
        ]

    def _is_ahead(self, name: str, slowest: float) -> bool:
        """Whether a camera has had all the turns it may have since turn ``slowest``, and has to wait."""
        if not self._turns.had_all(name, since=slowest):
            return False
        return self._clock.monotonic() - self._last_turn_at[name] < HELD_MOST

    def _has_room(self, engine: Engine | None) -> bool:
        busy = sum(one is engine for one in self._under_way.values())
        return busy < (calls_of(engine))

    def _wait_for_more(self, closed: threading.Event) -> float:
        """Seconds to wait for one more frame, if that is worth it."""
        pending = self._pending()
        if closed.is_set() or not pending:
            return 0.0
        pending = self._by_turn(pending)
        kind = self._last_kind.get(pending[0])
        alike = [name for name in self._channels if self._last_kind.get(name, kind) == kind]
        waiting = sum(name in pending for name in alike)
        if waiting >= self._most(pending):
            return 0.0
        now = self._clock.monotonic()
        others = [name for name in alike if name not in pending]
        return self._delay.until(now, waiting=waiting, others=others) - now

    def _by_turn(self, names: list[str]) -> list[str]:
        now = self._clock.monotonic()
        return sorted(
            names,
            key=lambda name: (
                self._turns.begins(name),
                self._turns.last(name),
                -(self._channels[name].slot.peek_age(now) or 0.0),
            ),
        )

    def _most(self, pending: list[str]) -> int:
        """How many of the frames that wait, by turn, go into a batch at the most."""
        engine = self._channels[pending[0]].engine if pending else None
        return self.max_batch if engine is None or engine.at_once is None else 1

    def _take(self, now: float) -> list[list[Taken]]:
        batches: dict[Hashable, list[Taken]] = {}
        wanted: Hashable = None
        taken = 0
        pending = self._by_turn(self._pending())
        most = self._most(pending)
        for name in pending:
            if taken == most or (taken and self._last_kind.get(name, wanted) != wanted):
                continue
            channel = self._channels[name]
            frame = channel.slot.take(now)
            if frame is None:
                continue
            self._delay.came(name, frame.decoded_at)
            kind = self._last_kind[name] = self._kind_of(channel, frame)
            if not taken:
                wanted = kind
            taken += 1
            self._turns.take(name)
            self._last_turn_at[name] = now
            batches.setdefault(kind, []).append((channel, frame))
        return list(batches.values())


def calls_of(engine: Engine | None) -> int:
    """How many calls an engine works on at the same time."""
    return 1 if engine is None else engine.at_once or 1
