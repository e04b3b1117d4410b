"""What happens during a run, as values that anyone may subscribe to.

A part of the pipeline is given ``publish`` and calls it with an event; it does not know who listens. ``event_log``
writes each as a log line, the metrics count them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nightday.engines.detection.detections import View

from .control import Translate
from .faults import OutputReason, SourceReason

log = logging.getLogger(__name__)

SourceState = Literal["starting", "playing", "retrying", "finished", "failed", "stopped"]
OutputState = Literal["starting", "writing", "retrying", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        camera: the camera it happened to; None where it concerns several, or the whole program.
    """

    camera: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChanged(Event):
    """A source's change of state. ``reason`` and ``detail`` say why, None and "" while all is well.

    States: ``starting`` (first try), ``playing``, ``retrying`` (lost or not there yet; tried again), ``finished`` (a
    file's end), ``failed`` (a file that cannot be read), ``stopped`` (asked to; with the reason it was ``retrying``
    for, if it was).

    Attributes:
        source: its address, secrets masked.
        retry_at: when the next try is due, on the pipeline's monotonic clock. It has passed while that try is under
            way.
    """

    camera: str
    state: SourceState
    source: str = ""
    reason: SourceReason | None = None
    detail: str = ""
    retry_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputChanged(Event):
    """An output's change of state; ``reason`` and ``detail`` say why it is ``retrying``.

    Attributes:
        output: its address, secrets masked.
    """

    camera: str
    output: str
    state: OutputState
    reason: OutputReason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBegun(Event):
    """An output has begun a file.

    Attributes:
        path: the file.
    """

    camera: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFinished(Event):
    """An output has closed a file, which stays.

    Attributes:
        path: the file.
    """

    camera: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class NightChanged(Event):
    """A camera's night gate has decided anew.

    Attributes:
        night: whether it is night now.
        luma: mean luma that decided it, 0 to 255.
        chroma: mean distance from grey, in levels.
    """

    camera: str
    night: bool
    luma: float
    chroma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslateChanged(Event):
    """Somebody has set anew when a camera's frames are translated, or a reload has set it back.

    Attributes:
        translate: when they are translated from now on.
    """

    camera: str
    translate: Translate


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsChanged(Event):
    """How many objects a camera sees at once, in one of its zones or in the whole picture, has changed.

    It is the median of the last second, so that an object that is missed on a picture makes no news.

    Attributes:
        zone: the zone; None is the whole picture.
        counts: objects by class; a class of which there are none is left out.
        at: when the picture was taken that settled it, in Unix seconds.
    """

    camera: str
    zone: str | None
    counts: Mapping[str, int]
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackChanged(Event):
    """A tracked object has come into sight or is gone, or has gone into or out of a zone.

    An object that is gone has left its zones, each of which is told first.

    Attributes:
        step: which of these.
        track: its number, which no other object of this camera gets until its settings change.
        label: its class, the most frequent of late.
        confidence: the highest with which it was found so far, 0 to 1.
        view: where it was found so far.
        zone: which zone it has ``entered`` or ``left``; None at the other steps.
        seconds: for how long it has been seen.
        at: when the picture was taken that showed it, in Unix seconds.
    """

    camera: str
    step: Literal["appeared", "gone", "entered", "left"]
    track: int
    label: str
    confidence: float
    view: View
    zone: str | None = None
    seconds: float = 0.0
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCrossed(Event):
    """A tracked object has crossed a line.

    Attributes:
        line: the line.
        direction: ``in`` from the right of the line to its left, for one who looks along it from its beginning to its
            end; ``out`` the other way.
        track: the object's number; see ``TrackChanged``.
        label: its class.
        at: when the picture was taken that showed it, in Unix seconds.
    """

    camera: str
    line: str
    direction: Literal["in", "out"]
    track: int
    label: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundChanged(Event):
    """A camera's background was taken up from a file, or dropped, or what the file held was refused; it is learnt, or
    its samples do not agree (``unsettled``).

    Attributes:
        step: which of these.
        detail: a sentence: where from, or why.
        reason: why it was dropped, in a word, or why it was refused; else the time of day it is about, if any.
    """

    camera: str
    step: Literal["restored", "dropped", "refused", "learnt", "unsettled"]
    detail: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChanged(Event):
    """A step on a new engine's way into service.

    Attributes:
        step: ``offered`` (being prepared), ``swapped`` (it serves, on probation), ``kept``, ``rolled_back``.
        cameras: those it is for.
        detail: a sentence.
        reason: why it was rolled back.
        model: the file of the model that was rolled back with it; None where the engine before has the same model.
    """

    step: Literal["offered", "swapped", "kept", "rolled_back"]
    cameras: tuple[str, ...]
    detail: str
    reason: str | None = None
    model: Path | None = None


OwnModelStep = Literal["training", "won", "lost", "failed", "rolled_back", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnModelChanged(Event):
    """A step of a camera's own model.

    Attributes:
        step: ``training`` (a round has begun), ``won`` (its model is to serve), ``lost`` (it is no better),
            ``failed``, ``rolled_back`` (its engine did not pass its probation), ``dropped`` (the camera shows another
            scene).
        detail: a sentence.
    """

    camera: str
    step: OwnModelStep
    detail: str


NoticeName = Literal[
    "batch_lost",
    "camera_not_fixed",
    "camera_placed",
    "camera_refused",
    "clock_not_believed",
    "cluster_full",
    "collect_failed",
    "colours_not_read",
    "collection_restarted",
    "collection_thinned",
    "command_refused",
    "detector_failed",
    "engine_built",
    "engine_failed",
    "engine_ready",
    "events_lost",
    "events_not_kept",
    "frame_failed",
    "frames_damaged",
    "head_back",
    "head_lost",
    "http_listening",
    "http_lost",
    "model_other_scene",
    "night_unsure",
    "node_apart",
    "node_failed",
    "node_joined",
    "node_lost",
    "notify_connected",
    "notify_failed",
    "notify_refused",
    "nvdec_missing",
    "nvenc_missing",
    "overload",
    "overload_over",
    "own_model_failed",
    "password_in_arguments",
    "reload_refused",
    "reloaded",
    "restarted",
    "retention",
    "retention_failed",
    "save_failed",
    "signing_failed",
    "sound_dropped",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Anything else that somebody may want to read.

    Attributes:
        name: what it is called in the log.
        detail: a sentence.
        level: how serious it is.
        files: how many files it is about, where it is about files.
        bytes: their size together.
    """

    name: NoticeName
    detail: str
    level: Literal["info", "warning", "error"] = "info"
    files: int | None = None
    bytes: int | None = None


Publish = Callable[[Event], None]


class EventBus:
    """Hands each event to every subscriber, in the thread in which it happened.

    A subscriber must not block. One that raises is logged and hurts neither the others nor the publisher.
    """

    def __init__(self, *subscribers: Publish) -> None:
        self._lock = threading.Lock()
        self._subscribers = subscribers

    def subscribe(self, subscriber: Publish) -> None:
        """Have ``subscriber`` called with every event from now on."""
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)

    def publish(self, event: Event) -> None:
        """Tell everybody."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as error:
                log.error("a subscriber failed on %s: %s", type(event).__name__, error)
