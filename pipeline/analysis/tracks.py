"""Follows objects from picture to picture with ByteTrack, as the package ``trackers`` has it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker

from nightday.engines.detection.detections import Detection, View

from ..core.found import Point

# Seconds for which an object may be missed, but of slow cameras so many pictures.
MISSED_FOR, MISSED_PICTURES = 1.0, 3
# Weight of the newest interval between pictures.
SMOOTHING = 0.1
# Detections that decide on an object's class.
VOTES = 25
# Seconds of its way that are drawn behind an object, and the least time between two points of it.
TAIL, TAIL_STEP = 2.0, 0.1


@dataclass(slots=True, eq=False)
class Track:
    """One object.

    Attributes:
        number: its own among those of its camera.
        label: its class: the most frequent of late, the newer of two that are as frequent.
        box: x1, y1, x2, y2 in pixels, where it was found last.
        confidence: the highest with which it was found.
        view: where it was found.
        first: when it was found first, in seconds on the camera's clock.
        last: when it was found last.
        votes: its classes on the last pictures.
        tail: when and where it stood lately: seconds, x, y.
        zones: the zones it is in, with the time at which it was last in them.
    """

    number: int
    label: str
    box: tuple[float, float, float, float]
    confidence: float
    view: View
    first: float
    last: float
    votes: deque[str] = field(default_factory=lambda: deque(maxlen=VOTES))
    tail: deque[tuple[float, float, float]] = field(default_factory=deque)
    zones: dict[str, float] = field(default_factory=dict)

    @property
    def way(self) -> tuple[Point, ...]:
        """Where it stood lately, the oldest first."""
        return tuple((x, y) for _, x, y in self.tail)

    def found(self, detection: Detection, *, now: float) -> None:
        """It was found."""
        self.box, self.last = detection.box, now
        self.confidence = max(self.confidence, detection.confidence)
        if detection.view != self.view:
            self.view = "both"
        self.votes.append(detection.label)
        self.label = Counter(reversed(self.votes)).most_common(1)[0][0]
        x1, _, x2, y2 = detection.box
        if not self.tail or now - self.tail[-1][0] >= TAIL_STEP:
            self.tail.append((now, (x1 + x2) / 2, y2))
        while now - self.tail[0][0] > TAIL:
            self.tail.popleft()


class Tracks:
    """The objects of one camera that are followed.

    Args:
        confidence: least confidence with which an object begins to be followed.
    """

    def __init__(self, *, confidence: float) -> None:
        # ByteTrack's own thresholds, 0.7 and 0.6, would leave out most of what is found by night.
        self._tracker = ByteTrackTracker(
            track_activation_threshold=confidence, high_conf_det_threshold=confidence
        )
        self._given = 0  # numbers that earlier trackers gave
        self._most = 0
        self._interval = 0.0
        self._before: float | None = None
        self.tracks: dict[int, Track] = {}
        """Those that are followed, by their numbers."""

    def update(
        self, detections: Sequence[Detection], faint: Sequence[Detection], *, now: float
    ) -> tuple[list[Detection], list[Track], list[Track]]:
        """Follow the objects to a picture taken at ``now``, in seconds on the camera's clock, which rise.

        Args:
            detections: what was found on it.
            faint: what was found with less confidence. It may be an object that is followed, but no new one.
            now: when.

        Returns:
            The detections with the objects' numbers; objects that are new; objects that are gone.
        """
        if self._before is not None:
            step = now - self._before
            self._interval = (
                step if not self._interval else self._interval + SMOOTHING * (step - self._interval)
            )
        self._before = now
        self._tracker.maximum_time_without_update = max(MISSED_FOR, MISSED_PICTURES * self._interval)
        everything = [*detections, *faint]
        found = sv.Detections(
            xyxy=np.array([one.box for one in everything], np.float64).reshape(-1, 4),
            confidence=np.array([one.confidence for one in everything], np.float64),
            data={"place": np.arange(len(everything))},
        )
        followed = self._tracker.update(found, timestamp=now)
        numbered, new = list(detections), []
        assert followed.tracker_id is not None
        for place, given in zip(followed.data.get("place", ()), followed.tracker_id, strict=True):
            if given < 0:
                continue
            number, detection = int(given) + 1 + self._given, everything[place]
            track = self.tracks.get(number)
            if track is None:
                track = Track(
                    number, detection.label, detection.box, detection.confidence, detection.view, now, now
                )
                self.tracks[number] = track
                self._most = max(self._most, number)
                new.append(track)
            track.found(detection, now=now)
            if place < len(detections):
                numbered[place] = replace(detection, track=number)
        alive = {int(one.tracker_id) + 1 + self._given for one in self._tracker.tracks}
        gone = [self.tracks.pop(number) for number in list(self.tracks) if number not in alive]
        return numbered, new, gone

    def reset(self) -> list[Track]:
        """Begin anew, as after a break; returns the objects that were followed. Numbers go on."""
        self._tracker.reset()
        self._given, self._interval, self._before = self._most, 0.0, None
        gone, self.tracks = [*self.tracks.values()], {}
        return gone
