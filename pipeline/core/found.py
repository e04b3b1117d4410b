"""What is made of a camera's detections: what it looks for, where things are now, and counters of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from nightday.engines.detection.detections import View

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Looking:
    """What a camera asks of its detector.

    Attributes:
        on: where it looks: on the picture as it is shown, on the camera's own, or on both.
        classes: what is looked for; everything where it is empty.
        confidence: what is found with this confidence or less is not shown; it only helps to follow things.
        every: how many pictures come to one that is looked at.
    """

    on: View = "day"
    classes: frozenset[str] = frozenset()
    confidence: float = 0.0
    every: int = 1


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone as it is drawn.

    Attributes:
        name: its name.
        points: its corners as shares of the picture's width and height.
        count: how many objects are in it.
    """

    name: str
    points: tuple[Point, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is drawn.

    Attributes:
        name: its name.
        start: where it begins, as shares of the picture's width and height.
        end: where it ends.
        went_in: how many objects have crossed it from right to left, for one who looks along it.
        went_out: how many have crossed it the other way.
    """

    name: str
    start: Point
    end: Point
    went_in: int
    went_out: int


@dataclass(frozen=True, slots=True)
class Followed:
    """What is known after a picture, to be drawn into it.

    Attributes:
        zones: the camera's zones.
        lines: its lines.
        tails: where each object in sight has stood lately, in pixels, the oldest first, with its class.
    """

    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    tails: tuple[tuple[str, tuple[Point, ...]], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.zones or self.lines or self.tails)


@dataclass(frozen=True, slots=True)
class FoundSnapshot:
    """Counters of objects at one moment.

    Attributes:
        now: objects in sight by class, by zone; None stands for the whole picture. Empty where nothing is looked for.
        tracks_now: objects that are followed; None where none are.
        tracks: objects followed since the start, by class.
        crossings: crossed lines since the start, by line, direction and class.
        looked_for: what the configuration names to be looked for, by zone as in ``now``.
    """

    now: Mapping[str | None, Mapping[str, int]] = field(default_factory=dict)
    tracks_now: int | None = None
    tracks: Mapping[str, int] = field(default_factory=dict)
    crossings: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    looked_for: Mapping[str | None, tuple[str, ...]] = field(default_factory=dict)

    def out_of_sight(self) -> FoundSnapshot:
        """The same with nothing in sight: the camera delivers no pictures."""
        now = {zone: dict.fromkeys(counts, 0) for zone, counts in self.now.items()}
        return replace(self, now=now, tracks_now=None if self.tracks_now is None else 0)


class FoundCounts:
    """Thread-safe counters of what a camera finds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str | None, dict[str, int]] = {}
        self._looked_for: dict[str | None, tuple[str, ...]] = {}
        self._tracks_now: int | None = None
        self._tracks: Counter[str] = Counter()
        self._crossings: Counter[tuple[str, str, str]] = Counter()

    def begin(
        self,
        zones: Iterable[str],
        *,
        tracks: bool,
        classes: Mapping[str | None, Iterable[str]] = MappingProxyType({}),
    ) -> None:
        """Looking begins anew, in these zones, with objects followed or not: what was in sight is forgotten.

        The ``classes`` that are looked for in a zone, where that is configured, are counted as 0.
        """
        with self._lock:
            self._looked_for = {zone: tuple(classes.get(zone, ())) for zone in (None, *zones)}
            self._now = {zone: dict.fromkeys(labels, 0) for zone, labels in self._looked_for.items()}
            self._tracks_now = 0 if tracks else None

    def end(self) -> None:
        """Nothing is looked for any more."""
        with self._lock:
            self._now, self._looked_for, self._tracks_now = {}, {}, None

    def set_now(self, zone: str | None, counts: Mapping[str, int]) -> None:
        """Say what is in sight in a zone, or (None) in the whole picture. Classes seen before are counted as 0.

        What is said of other zones than those that ``begin`` named comes from the settings before.
        """
        with self._lock:
            known = self._now.get(zone)
            if known is not None:
                self._now[zone] = dict.fromkeys(known, 0) | dict(counts)

    def set_tracks(self, count: int) -> None:
        """Say how many objects are followed."""
        with self._lock:
            if self._tracks_now is not None:
                self._tracks_now = count

    def count_track(self, label: str) -> None:
        """Count one object that came into sight."""
        with self._lock:
            self._tracks[label] += 1

    def count_crossing(self, line: str, direction: str, label: str) -> None:
        """Count one object that crossed a line."""
        with self._lock:
            self._crossings[line, direction, label] += 1

    def crossed(self, line: str) -> tuple[int, int]:
        """How many objects have crossed a line, in and out."""
        with self._lock:
            ways = {"in": 0, "out": 0}
            for (name, direction, _), count in self._crossings.items():
                if name == line:
                    ways[direction] += count
        return ways["in"], ways["out"]

    def snapshot(self) -> FoundSnapshot:
        """A consistent copy."""
        with self._lock:
            return FoundSnapshot(
                {zone: dict(counts) for zone, counts in self._now.items()},
                self._tracks_now,
                dict(self._tracks),
                dict(self._crossings),
                self._looked_for,
            )
