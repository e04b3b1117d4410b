"""Where a camera's objects are: who comes and goes, what is in its zones, and what crosses its lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection

from ..core.events import CountsChanged, LineCrossed, Publish, TrackChanged
from ..core.found import Followed, FoundCounts, Line, Point, Zone
from ..core.frame import Frame
from .settled import SettledCounts

if TYPE_CHECKING:  # of an extra that need not be there
    from .areas import LineAreas, ZoneArea
    from .tracks import Track, Tracks

# Seconds without a picture after which nothing is taken for what was there before.
BREAK = 5.0
# Seconds outside of a zone after which an object has left it: one on its border does not come and go each moment.
OUTSIDE_FOR = 0.5


@dataclass(frozen=True, slots=True)
class Areas:
    """The zones and lines of a camera, all points as shares of the picture's width and height.

    Attributes:
        zones: the corners of each.
        lines: where each begins and ends.
        classes: what counts in a zone; everything in a zone that is not here.
        looked_for: what the camera looks for at all; everything where it is empty.
    """

    zones: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    lines: Mapping[str, tuple[Point, Point]] = field(default_factory=dict)
    classes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    looked_for: frozenset[str] = frozenset()


class Follower:
    """Follows the objects of one camera. One thread at a time calls it, with pictures in their order.

    Args:
        camera: its name.
        areas: its zones and lines. Lines need tracks.
        tracks: the objects that are followed; without them zones are counted in on each picture by itself.
        counts: told what is where.
        publish: told what happens.
    """

    def __init__(
        self, *, camera: str, areas: Areas, tracks: Tracks | None, counts: FoundCounts, publish: Publish
    ) -> None:
        self._camera, self._areas, self._tracks = camera, areas, tracks
        self._counts, self._publish = counts, publish
        self._zones = _zone_areas(areas.zones)
        self._lines: LineAreas | None = None
        self._settled = {name: SettledCounts() for name in (None, *areas.zones)}
        self._size: tuple[int, int] | None = None
        self._before = 0.0
        classes: dict[str | None, frozenset[str]] = {None: areas.looked_for}
        classes |= {zone: areas.classes.get(zone) or areas.looked_for for zone in areas.zones}
        counts.begin(areas.zones, tracks=tracks is not None, classes=classes)

    def follow(
        self, frame: Frame, detections: Sequence[Detection], faint: Sequence[Detection]
    ) -> tuple[Sequence[Detection], Followed]:
        """Follow what was found to a frame.

        Args:
            frame: the frame.
            detections: what was found on it.
            faint: what was found with less confidence than is shown.

        Returns:
            The detections with the numbers of the objects, where these are followed; and what to draw.
        """
        now = float(frame.pts * frame.time_base)
        if frame.size != self._size or now - self._before > BREAK:
            self._begin(frame)
        self._size, self._before = frame.size, now
        if self._tracks is None:
            inside = self._inside([one.box for one in detections], [one.label for one in detections])
            labels = [one.label for one in detections]
            self._count(frame, now, labels, inside)
            return detections, Followed(self._drawn_zones(inside))
        numbered, new, gone = self._tracks.update(detections, faint, now=now)
        for track in gone:
            self._gone(track, frame)
        for track in new:
            self._counts.count_track(track.label)
            self._tell("appeared", track, frame)
        tracks = [*self._tracks.tracks.values()]
        inside = self._in_zones(tracks, frame, now)
        self._cross(tracks, frame)
        self._counts.set_tracks(len(tracks))
        self._count(frame, now, [track.label for track in tracks], inside)
        tails = tuple((track.label, track.way) for track in tracks if len(track.tail) > 1)
        return numbered, Followed(self._drawn_zones(inside), self._drawn_lines(), tails)

    def _begin(self, frame: Frame) -> None:
        """Forget what was there: the picture has another size, or there was none for long."""
        for track in self._tracks.reset() if self._tracks is not None else ():
            self._gone(track, frame)
        if self._areas.lines:
            from .areas import LineAreas

            self._lines = LineAreas(self._areas.lines, size=frame.size)

    def _inside(
        self, boxes: Sequence[tuple[float, float, float, float]], labels: Sequence[str]
    ) -> dict[str, NDArray[np.bool_]]:
        """By zone, which boxes count in it."""
        assert self._size is not None
        at = np.array(boxes, np.float64).reshape(-1, 4)
        inside = {}
        for name, zone in self._zones.items():
            counts = np.array([self._counts_in(name, label) for label in labels], bool)
            inside[name] = zone.holds(at, size=self._size) & counts
        return inside

    def _counts_in(self, zone: str, label: str) -> bool:
        classes = self._areas.classes.get(zone)
        return not classes or label in classes

    def _in_zones(self, tracks: Sequence[Track], frame: Frame, now: float) -> dict[str, NDArray[np.bool_]]:
        """By zone, which objects are in it; those that go in or out are told."""
        inside = self._inside([track.box for track in tracks], [track.label for track in tracks])
        for name, which in inside.items():
            for place, track in enumerate(tracks):
                if which[place]:
                    if name not in track.zones:
                        self._tell("entered", track, frame, zone=name)
                    track.zones[name] = now
                elif name in track.zones:
                    # One whose class turned out to be another is not on the border: it never counted here.
                    if self._counts_in(name, track.label) and now - track.zones[name] < OUTSIDE_FOR:
                        which[place] = True
                    else:
                        del track.zones[name]
                        self._tell("left", track, frame, zone=name)
        return inside

    def _cross(self, tracks: Sequence[Track], frame: Frame) -> None:
        if self._lines is None:
            return
        boxes = np.array([track.box for track in tracks], np.float64).reshape(-1, 4)
        labels = {track.number: track.label for track in tracks}
        for line, direction, number in self._lines.crossed(boxes, [*labels]):
            self._counts.count_crossing(line, direction, labels[number])
            self._publish(
                LineCrossed(
                    camera=self._camera,
                    line=line,
                    direction=direction,
                    track=number,
                    label=labels[number],
                    at=frame.wall_time,
                )
            )

    def _count(
        self, frame: Frame, now: float, labels: Sequence[str], inside: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        by_zone: dict[str | None, Counter[str]] = {None: Counter(labels)}
        for name, which in inside.items():
            by_zone[name] = Counter(label for label, yes in zip(labels, which, strict=True) if yes)
        for zone, counts in by_zone.items():
            self._counts.set_now(zone, counts)
            news = self._settled[zone].update(counts, now=now)
            if news is not None:
                self._publish(CountsChanged(camera=self._camera, zone=zone, counts=news, at=frame.wall_time))

    def _gone(self, track: Track, frame: Frame) -> None:
        for zone in track.zones:
            self._tell("left", track, frame, zone=zone)
        self._tell("gone", track, frame)

    def _tell(
        self,
        step: Literal["appeared", "gone", "entered", "left"],
        track: Track,
        frame: Frame,
        zone: str | None = None,
    ) -> None:
        self._publish(
            TrackChanged(
                camera=self._camera,
                step=step,
                track=track.number,
                label=track.label,
                confidence=track.confidence,
                view=track.view,
                zone=zone,
                seconds=track.last - track.first,
                at=frame.wall_time,
            )
        )

    def _drawn_zones(self, inside: Mapping[str, NDArray[np.bool_]]) -> tuple[Zone, ...]:
        return tuple(
            Zone(name, points, int(inside[name].sum())) for name, points in self._areas.zones.items()
        )

    def _drawn_lines(self) -> tuple[Line, ...]:
        return tuple(
            Line(name, start, end, *self._counts.crossed(name))
            for name, (start, end) in self._areas.lines.items()
        )


def make_follower(
    *, camera: str, areas: Areas, follow: bool, confidence: float, counts: FoundCounts, publish: Publish
) -> Follower:
    """A follower; zones and ``follow`` need the packages of the extra ``track``.

    Args:
        camera: the camera's name.
        areas: its zones and lines.
        follow: whether objects are followed from picture to picture.
        confidence: least confidence with which an object begins to be followed.
        counts: told what is where.
        publish: told what happens.
    """
    tracks = None
    if follow:
        from .tracks import Tracks

        tracks = Tracks(confidence=confidence)
    return Follower(camera=camera, areas=areas, tracks=tracks, counts=counts, publish=publish)


def _zone_areas(zones: Mapping[str, tuple[Point, ...]]) -> dict[str, ZoneArea]:
    if not zones:
        return {}
    from .areas import ZoneArea

    return {name: ZoneArea(points) for name, points in zones.items()}
