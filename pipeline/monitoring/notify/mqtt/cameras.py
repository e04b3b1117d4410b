"""What is kept at the broker of each camera: Home Assistant's device, its state, its newest picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import on_host

from ....core.clock import Clock
from ....core.picture_files import jpeg_of, with_square_pixels
from ....core.status import CameraStatus, NewestPicture, Watched
from ..camera_facts import WHOLE_PICTURE, CameraFacts, Place
from ..spool import Spool
from .camera_state import state_payload
from .discovery import discovery_payload
from .retained import RetainedTopics
from .topics import DEVICE_END, Topics

# Seconds between two looks at all cameras, for what no event tells: numbers above all.
LOOK_EVERY = 10.0
# Seconds at least between two states of a camera, however often something changes.
STATE_EVERY = 1.0
# Pixels of a picture's longer side. A camera's own may have more, and go out every few seconds.
PICTURE_SIDE = 1280
# Bytes around a payload in its packet, topic included.
_AROUND = 1000
_PLACES = "mqtt places"


@dataclass(slots=True)
class _Told:
    """What was told of a camera last, and when."""

    state_at: float = float("-inf")
    picture_at: float = float("-inf")
    picture_of: float | None = None  # when the picture was taken
    places: tuple[Place, ...] = ()


class CameraTopics:
    """Keeps them up to date. One thread uses it.

    Args:
        topics: where.
        run: the run.
        facts: what events tell of its cameras.
        spool: remembers zones and classes for the next start, so that Home Assistant keeps their entities.
        clock: time.
        picture_every: seconds between two pictures of a camera.
    """

    def __init__(
        self,
        topics: Topics,
        *,
        run: Watched,
        facts: CameraFacts,
        spool: Spool,
        clock: Clock,
        picture_every: float,
    ) -> None:
        self._topics = topics
        self._run = run
        self._facts = facts
        self._spool = spool
        self._clock = clock
        self._picture_every = picture_every
        self._told: dict[str, _Told] = {}
        self._waiting: set[str] = set()  # of which something has changed, and it was not told yet
        self._next_look = float("-inf")
        self._counted: dict[
            str, tuple[float, int]
        ] = {}  # when pictures were counted last, and how many there were
        self._fps: dict[str, float] = {}
        self._recall_places()

    def restart(self) -> None:
        """There is a new connection: all is to be put again, as the broker may have forgotten it."""
        self._next_look = float("-inf")
        for told in self._told.values():
            told.picture_at, told.picture_of = float("-inf"), None

    def update(self, retained: RetainedTopics, *, largest: int | None) -> float:
        """Put what has changed; when to call again, at the latest, on the monotonic clock.

        Args:
            retained: takes it.
            largest: the bytes of the largest packet that the broker takes; None for no limit.
        """
        now = self._clock.monotonic()
        self._waiting |= self._facts.take_changed()
        look = now >= self._next_look
        due = {name for name in self._waiting if now - self._of(name).state_at >= STATE_EVERY}
        if look or due:
            cameras = {camera.name: camera for camera in self._run.cameras()}
            if look:
                self._next_look = now + LOOK_EVERY
                self._tidy(cameras, retained)
                due = set(cameras)
            for name in due:
                self._waiting.discard(name)
                if name in cameras:
                    self._put_state(cameras[name], retained, now, count=look)
            self._remember_places()
        next_picture = self._put_pictures(retained, now, largest)
        waiting = [self._of(name).state_at + STATE_EVERY for name in self._waiting]
        return min([self._next_look, next_picture, *waiting])

    def _of(self, name: str) -> _Told:
        return self._told.setdefault(name, _Told())

    def _tidy(self, cameras: dict[str, CameraStatus], retained: RetainedTopics) -> None:
        """Forget cameras that are gone, here and at the broker."""
        for name in set(self._told) - set(cameras):
            del self._told[name]
            self._counted.pop(name, None)
            self._fps.pop(name, None)
        self._facts.keep(set(cameras))
        gone = retained.topics - self._topics.kept(list(cameras)) - {self._topics.status}
        # Home Assistant takes a moment to forget a device, and would make errors of an empty state until then.
        devices = {topic for topic in gone if topic.endswith(DEVICE_END)}
        for topic in devices or gone:
            retained.put(topic, b"")

    def _put_state(self, camera: CameraStatus, retained: RetainedTopics, now: float, *, count: bool) -> None:
        name, told = camera.name, self._of(camera.name)
        if count:
            before = self._counted.get(name)
            self._counted[name] = now, camera.pictures
            if before is not None and now > before[0]:
                self._fps[name] = max(0, camera.pictures - before[1]) / (now - before[0])
        counts = _in_sight(camera, self._facts.counts(name))
        told.state_at = now
        told.places = tuple(sorted(counts))
        device = self._topics.device(name)
        if device is not None:
            can_translate = camera.engine is not None
            retained.put(device, discovery_payload(self._topics, name, counts, can_translate=can_translate))
        retained.put(
            self._topics.state(name),
            state_payload(camera, counts=counts, moved=self._facts.moved(name), fps=self._fps.get(name)),
        )

    def _put_pictures(self, retained: RetainedTopics, now: float, largest: int | None) -> float:
        """Put the pictures that are due; when the next one is."""
        due = float("inf")
        for name, told in self._told.items():
            if now - told.picture_at >= self._picture_every:
                told.picture_at = now
                with suppress(KeyError):  # it was just taken away
                    newest = self._run.newest(name)
                    if newest is not None and newest.wall_time != told.picture_of:
                        told.picture_of = newest.wall_time
                        jpeg = _jpeg(newest)
                        if jpeg and (largest is None or len(jpeg) + _AROUND <= largest):
                            retained.put(self._topics.picture(name), jpeg)
            due = min(due, told.picture_at + self._picture_every)
        return due

    def _recall_places(self) -> None:
        with suppress(ValueError, TypeError, AttributeError):
            places = json.loads(self._spool.recall(_PLACES) or "{}")
            known = {
                str(camera): [(str(zone), str(label)) for zone, label in pairs]
                for camera, pairs in places.items()
            }
            self._facts.know(known)
            for camera, pairs in known.items():
                self._of(camera).places = tuple(sorted(pairs))
        self._remembered = {name: told.places for name, told in self._told.items() if told.places}

    def _remember_places(self) -> None:
        places = {name: told.places for name, told in self._told.items() if told.places}
        if places != self._remembered:
            self._remembered = places
            self._spool.remember(_PLACES, json.dumps(places))


def _in_sight(camera: CameraStatus, counts: Mapping[Place, int]) -> dict[Place, int]:
    """The counts of the zones that there are now; none of them sees anything while there are no pictures.

    What is looked for by the configuration is there from the start.
    """
    zones, named = camera.stats.found.now, camera.stats.found.looked_for
    looked_for = {(zone or WHOLE_PICTURE, label): 0 for zone, labels in named.items() for label in labels}
    return looked_for | {
        place: count if camera.stats.up else 0
        for place, count in counts.items()
        if (place[0] or None) in zones
    }


def _jpeg(newest: NewestPicture) -> bytes:
    """A picture as it is shown, with square pixels, made smaller where it is large; b"" if it can be no JPEG."""
    rgb: NDArray[np.uint8] = on_host(newest.shown, "snapshot")
    height, width = rgb.shape[:2]
    scale = PICTURE_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    try:
        return jpeg_of(with_square_pixels(rgb, newest.pixel_aspect))
    except ValueError:
        return b""
