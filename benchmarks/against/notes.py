"""The job that every contestant gets and the notes that it returns. Imports only Python's standard library.

A contestant is a process of its own: ``python -m benchmarks.against.NAME JOB``. It opens all
cameras. Measuring starts when a picture of each has been written and the job's time to settle is over.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

OPEN_WITHIN = 90.0  # seconds until every camera must have had a picture written

Stop = Callable[[], dict[str, Any]]
"""Ends a contestant; returns what else it has to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a contestant has to do.

    Attributes:
        urls: of the cameras.
        rate: frames a second that each sends.
        height, width: of their pictures.
        model: a checkpoint.
        backend, precision: the engine it runs on.
        folder: where the videos go, and ``notes.json``.
        backgrounds: of each camera a file of numpy's with ``day_background`` and ``night_background``, for a model
            that needs them.
        restream: an RTSP server that takes the day view of the only camera, in place of a file; "" for files.
        settle: seconds to run before anything counts.
        seconds: that count.
    """

    urls: tuple[str, ...]
    rate: int
    height: int
    width: int
    model: str
    backend: str
    precision: str
    folder: str
    backgrounds: tuple[str, ...] = ()
    restream: str = ""
    settle: float = 5.0
    seconds: float = 30.0

    @classmethod
    def parse(cls, text: str) -> Job:
        """A job as ``text`` has it."""
        told = json.loads(text)
        return cls(**told | {name: tuple(told[name]) for name in ("urls", "backgrounds")})

    def text(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Note:
    """One translated picture, once it was written.

    Attributes:
        camera: number of its camera.
        position: seconds on the camera's own clock, from any beginning.
        decoded_at: when its frame had been decoded, monotonic seconds.
        written_at: when the call that wrote it returned, on the same clock.
    """

    camera: int
    position: float
    decoded_at: float
    written_at: float


@dataclass(frozen=True, slots=True)
class Notes:
    """What a contestant noted, and the ``seconds`` from ``begin`` (monotonic) that count.

    ``cpu`` is its processor time in them, in seconds, and ``more`` what else it told.
    """

    begin: float
    seconds: float
    cpu: float
    notes: tuple[Note, ...]
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Notes:
        """Those that a contestant left in its folder."""
        told = json.loads((folder / "notes.json").read_text())
        return cls(**told | {"notes": tuple(Note(*note) for note in told["notes"])})


class Notebook:
    """Where a contestant's threads note what they have written."""

    def __init__(self, cameras: int) -> None:
        self._notes: list[Note] = []
        self._waiting = set(range(cameras))
        self._changed = threading.Condition()

    def add(self, camera: int, position: float, decoded_at: float) -> None:
        """Note a picture that has just been written."""
        note = Note(camera, position, decoded_at, time.monotonic())
        with self._changed:
            self._notes.append(note)
            if camera in self._waiting:
                self._waiting.remove(camera)
                self._changed.notify_all()

    def wait_for_all(self) -> None:
        """Wait until each camera has had a picture written. Raises TimeoutError, which names those without."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._waiting, OPEN_WITHIN):
                raise TimeoutError(f"no picture of cameras {sorted(self._waiting)} in {OPEN_WITHIN:g} s")

    def notes(self) -> list[Note]:
        """All so far."""
        with self._changed:
            return list(self._notes)


def contend(start: Callable[[Job, Notebook], Stop]) -> None:
    """Do the job on the command line, leave the notes, and end the process, whatever hangs in it."""
    job = Job.parse(sys.argv[1])
    notebook = Notebook(len(job.urls))
    stop = start(job, notebook)
    notebook.wait_for_all()
    time.sleep(job.settle)
    begin, cpu = time.monotonic(), time.process_time()
    time.sleep(job.seconds)
    cpu = time.process_time() - cpu
    notes = notebook.notes()
    told = Notes(begin, job.seconds, cpu, (), stop())
    content = asdict(told) | {"notes": _rows(notes)}
    Path(job.folder, "notes.json").write_text(json.dumps(content))
    sys.stdout.flush()
    os._exit(0)


def _rows(notes: Sequence[Note]) -> list[tuple[int, float, float, float]]:
    return [(note.camera, note.position, note.decoded_at, note.written_at) for note in notes]
