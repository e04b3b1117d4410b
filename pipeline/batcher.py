"""Forms batches across cameras out of what waits in their slots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping

from pipeline.clock import Clock
from pipeline.frame import Frame
from pipeline.slot import LatestSlot


class Batcher:
    """Takes the frame that is due first, and with it those of other cameras that can share its batch.

    Nothing is waited for once a frame is there: while a batch is being translated the next ones gather by
    themselves, so batches grow with the load and a lone camera has no added latency.

    First is the camera whose last turn is longest ago; among those without one, the oldest frame. The age of frames
    alone would not be fair: under overload slots hold the newest, and of cameras that tick in step the one a
    few milliseconds behind would be the youngest for ever.

    Args:
        slots: the slot of each camera, by name.
        ready: the condition the slots share.
        max_batch: most frames in a batch.
        kind: what frames must agree on to share a batch, e.g. model and size. A slot shows its frame only on
            taking it, so a camera's kind is taken to be that of its last frame; where that proves wrong, as on
            a change of resolution, the odd frame comes as a batch of its own.
        clock: tells frames' ages.
    """

    def __init__(
        self,
        slots: Mapping[str, LatestSlot],
        *,
        ready: threading.Condition,
        max_batch: int,
        kind: Callable[[Frame], Hashable],
        clock: Clock,
    ) -> None:
        self._slots = dict(slots)
        self._ready = ready
        self._max_batch = max_batch
        self._kind_of = kind
        self._clock = clock
        self._last_kind: dict[str, Hashable] = {}
        self._last_turn = dict.fromkeys(self._slots, 0)
        self._turn = 0

    def next(self, closed: threading.Event) -> list[list[Frame]]:
        """Wait for frames and take the next batch: nearly always one, each of one kind, in order of turns.

        Returns an empty list once ``closed`` is set (notify ``ready`` after setting it) and no frame waits.
        """
        with self._ready:
            self._ready.wait_for(
                lambda: closed.is_set() or any(slot.pending for slot in self._slots.values())
            )
            now = self._clock.monotonic()
            ages = {name: slot.peek_age(now) for name, slot in self._slots.items()}
            due = sorted(
                (name for name, age in ages.items() if age is not None),
                key=lambda name: (self._last_turn[name], -(ages[name] or 0.0)),
            )
            batches: dict[Hashable, list[Frame]] = {}
            wanted: Hashable = None
            taken = 0
            for name in due:
                if taken == self._max_batch or (taken and self._last_kind.get(name, wanted) != wanted):
                    continue
                frame = self._slots[name].take()
                if frame is None:
                    continue
                kind = self._last_kind[name] = self._kind_of(frame)
                if not taken:
                    wanted = kind
                taken += 1
                self._turn += 1
                self._last_turn[name] = self._turn
                batches.setdefault(kind, []).append(frame)
        return list(batches.values())
