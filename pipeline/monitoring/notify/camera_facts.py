"""What events tell of cameras and no counter does: how many objects are where, and whether a camera was moved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...core.events import (
    BackgroundChanged,
    CountsChanged,
    EngineChanged,
    Event,
    NightChanged,
    Notice,
    SourceChanged,
    TranslateChanged,
)

# Pairs of zone and class of a camera that are told apart; a detector knows dozens of classes.
MOST_COUNTS = 200
_MOVED = ("moved", "refocused")
WHOLE_PICTURE = ""

Place = tuple[str, str]
"""A zone, or ``WHOLE_PICTURE``, and a class."""


@dataclass(slots=True)
class _Facts:
    counts: dict[Place, int] = field(default_factory=dict)
    moved: bool = False


class CameraFacts:
    """Keeps them by camera. Its ``note`` is to be subscribed to the run's events; any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._facts: dict[str, _Facts] = {}
        self._changed: set[str] = set()
        self._listener: Callable[[], None] | None = None

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Call ``listener`` from now on when something has changed; it must not block."""
        self._listener = listener

    def note(self, event: Event) -> None:
        """Take note of an event."""
        cameras = event.cameras if isinstance(event, EngineChanged) else (event.camera,)
        if not isinstance(
            event,
            BackgroundChanged
            | CountsChanged
            | EngineChanged
            | NightChanged
            | Notice
            | SourceChanged
            | TranslateChanged,
        ):
            return
        with self._lock:
            for camera in cameras:
                if camera is not None:
                    self._note(self._facts.setdefault(camera, _Facts()), event)
                    self._changed.add(camera)
        listener = self._listener
        if listener is not None:
            listener()

    @staticmethod
    def _note(facts: _Facts, event: Event) -> None:
        if isinstance(event, CountsChanged):
            zone = event.zone or WHOLE_PICTURE
            for place in facts.counts:
                if place[0] == zone:
                    facts.counts[place] = 0
            for label, count in event.counts.items():
                if (zone, label) in facts.counts or len(facts.counts) < MOST_COUNTS:
                    facts.counts[zone, label] = count
        elif isinstance(event, SourceChanged) and event.state == "stopped":
            # With other settings nothing is told of what is not there.
            facts.counts = dict.fromkeys(facts.counts, 0)
        elif isinstance(event, BackgroundChanged) and event.step == "dropped":
            facts.moved = facts.moved or event.reason in _MOVED
        elif isinstance(event, BackgroundChanged) and event.step == "learnt":
            facts.moved = False

    def know(self, places: Mapping[str, list[Place]]) -> None:
        """These places of cameras were known before; nothing is there yet."""
        with self._lock:
            for camera, known in places.items():
                counts = self._facts.setdefault(camera, _Facts()).counts
                for place in known[:MOST_COUNTS]:
                    counts.setdefault(place, 0)

    def keep(self, cameras: set[str]) -> None:
        """Forget all other cameras."""
        with self._lock:
            for camera in set(self._facts) - cameras:
                del self._facts[camera]

    def counts(self, camera: str) -> dict[Place, int]:
        """How many objects of a class are in a zone, for each pair seen so far."""
        with self._lock:
            facts = self._facts.get(camera)
            return dict(facts.counts) if facts else {}

    def moved(self, camera: str) -> bool:
        """Whether the camera was moved, or its focus changed, and its scene has not been learnt since."""
        with self._lock:
            facts = self._facts.get(camera)
            return facts is not None and facts.moved

    def take_changed(self) -> set[str]:
        """The cameras of which something has changed since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return changed
