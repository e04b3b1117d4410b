"""What coordinator and nodes tell each other: which cameras a node has, and how they are. Never a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.counters import HistogramSnapshot
from ..core.events import Event
from ..core.status import CameraStatus
from ..monitoring.notify.message import StoredMessage

if TYPE_CHECKING:
    # It brings PyTorch along, and a node is to be there before that is loaded.
    from nightday.engines.backends.base import EngineInfo


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder that every machine is to see.

    Attributes:
        folder: its path.
        mark: what the coordinator has written to a file in it; "" if that failed.
    """

    folder: Path
    mark: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one node is to run.

    Attributes:
        version: rises with each change.
        file: the configuration's name, for messages.
        folder: where relative paths start.
        cameras: the entries of its cameras, by name, as plain values with their secrets.
        epochs: the epoch under which each of them is written.
        rest: all other sections that a node needs, the same way.
        learnt: where what cameras learn is kept; None where none learns.
    """

    version: int
    file: str
    folder: Path
    cameras: Mapping[str, Mapping[str, Any]] = field(repr=False)
    epochs: Mapping[str, int]
    rest: Mapping[str, Any] = field(repr=False)
    learnt: SharedFolder | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """What a node is told about once a second.

    Attributes:
        lease_until: until when it may write, by the clock of its own last report's stamp; None before its first.
        part: what it is to run; None where it knows that.
        told_to: the number of the last event that was taken from it.
        late_to: the journal whose late events were taken last, and up to which number.
    """

    lease_until: float | None
    part: Part | None = None
    told_to: int = 0
    late_to: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a node.

    Attributes:
        number: its place in the order of all events of the node's process, from 1.
        at: Unix seconds, by the node's clock.
        event: what happened.
    """

    number: int
    at: float
    event: Event


@dataclass(frozen=True, slots=True)
class Late:
    """Events of a node's process that has ended before it could tell them.

    Attributes:
        journal: the process's; see ``Report.journal``.
        messages: the next of them, in order.
    """

    journal: str
    messages: tuple[StoredMessage, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a node answers.

    Attributes:
        stamp: its own clock now, in seconds.
        version: the newest part that it knows; 0 before the first.
        written: the cameras that it may still write, and under which epoch.
        program: the version of nightday-stream.
        cameras: the state of each of its cameras.
        costs: processor time that each of them takes, in seconds a second, where that was measured.
        refused: why cameras do not run there, by name.
        apart: why cameras do not learn there; None where they do, or no camera is to.
        memory: bytes that are free.
        address: where it is served over HTTP, if it is.
        engines: those that are loaded.
        engines_ready: whether none is still to be built.
        beating: whether its workers are alive.
        batches: frames given to an engine at once; None before its first camera.
        events: how often each event has happened there.
        happened: the next events that the coordinator has not taken yet, in order.
        journal: what its file of events is called, which no other process has; None if it has none.
        late: events that others have left there.
        problem: why its cameras cannot run at all; None if they can.
        files: what was written; only at its end.
    """

    stamp: float
    version: int
    written: Mapping[str, int]
    program: str
    cameras: tuple[CameraStatus, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    apart: str | None = None
    memory: int = 0
    address: str | None = None
    engines: tuple[EngineInfo, ...] = ()
    engines_ready: bool = True
    beating: bool = True
    batches: HistogramSnapshot | None = None
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    happened: tuple[Happened, ...] = ()
    journal: str | None = None
    late: Late | None = None
    problem: str | None = None
    files: tuple[Path, ...] = ()
