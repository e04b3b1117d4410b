"""A node's events on disk until the coordinator has taken them, and those of processes that ended before.

Each process has a file of its own in a folder, and a lock on it while it lives. What it could not tell any more, the
next process tells that finds the file without its lock: on the same machine, or wherever else the folder is seen.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
from contextlib import suppress
from pathlib import Path

from ..core.clock import Clock
from ..core.events import Publish
from ..monitoring.notify.outbox import Outbox
from ..monitoring.notify.spool import Spool, SpoolInUseError
from .messages import Happened, Late

log = logging.getLogger(__name__)

# Late events that go with one report.
LATE_AT_ONCE = 200
# Seconds between looks for what others have left.
LOOK_EVERY = 5.0
_READER = "coordinator"
_ENDING = ".sqlite"


class Journal(threading.Thread):
    """Any thread may call it; no call waits for the disk but ``__init__``.

    Args:
        folder: where the files are. It is made if missing.
        node: what the coordinator calls this node.
        publish: told when events cannot be kept.
        clock: time.

    Raises:
        OSError, sqlite3.Error: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, node: str, publish: Publish, clock: Clock) -> None:
        super().__init__(name="journal", daemon=True)
        self._folder = folder
        self._node = node
        self.id = uuid.uuid4().hex
        """The name of this process's file, which no other has."""
        self._own = Spool(folder / f"{self.id}{_ENDING}")
        self._own.keep_readers([_READER])
        self._outbox = Outbox(self._own, told=lambda: None, publish=publish, clock=clock)
        self._left: Spool | None = None  # the file of a process that has ended
        self.late: Late | None = None
        """What is to be told next of what others have left."""
        self._changed = threading.Condition()
        self._taken_to = 0
        self._late_to: tuple[str, int] | None = None
        self._news = self._closed = False
        self._outbox.start()
        self.start()

    def note(self, happened: Happened) -> None:
        """Something has happened. To be called in the order of the numbers."""
        self._outbox.put(happened.event, at=happened.at, node=self._node, number=happened.number)

    def taken(self, number: int, late_to: tuple[str, int] | None) -> None:
        """The coordinator has all up to ``number``, and of a journal that was left all up to its number."""
        with self._changed:
            if number <= self._taken_to and late_to == self._late_to:
                return
            self._taken_to, self._late_to, self._news = max(number, self._taken_to), late_to, True
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, and let go of the files, as the end of the process would."""
        self._outbox.finish()
        self._outbox.join()
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.join()
        self._own.close()
        if self._left is not None:
            self._left.close()

    def run(self) -> None:
        """Strike off what was taken, and look for what was left."""
        while not self._closed:
            try:
                self._own.acknowledge(_READER, self._taken_to)
                self._look()
            except (OSError, sqlite3.Error) as error:  # the next look may find the disk well again
                log.debug("%s: %s", self._folder, error)
            with self._changed:
                self._changed.wait_for(lambda: self._news or self._closed, LOOK_EVERY)
                self._news = False

    def _look(self) -> None:
        """Have the next late events at hand. A file goes when all of it was taken."""
        late_to = self._late_to
        if self._left is not None and late_to is not None and late_to[0] == _journal_of(self._left):
            self._left.acknowledge(_READER, late_to[1])
        while True:
            if self._left is None:
                self._left = self._found()
            if self._left is None:
                self.late = None
                return
            messages = self._left.after(self._left.acknowledged(_READER), LATE_AT_ONCE)
            if messages:
                self.late = Late(_journal_of(self._left), tuple(messages))
                return
            _remove(self._left)
            self._left = None

    def _found(self) -> Spool | None:
        """The oldest file of a process that has ended; None if there is none."""
        paths = [path for path in self._folder.glob(f"*{_ENDING}") if path.stem != self.id]
        for path in sorted(paths, key=_age):
            try:
                spool = Spool(path)
                spool.keep_readers([_READER])
                return spool
            except SpoolInUseError:
                continue
            except sqlite3.OperationalError:  # the disk, not what is in the file
                raise
            except sqlite3.DatabaseError as error:
                log.warning("%s is damaged (%s) and is put aside; the events in it are lost", path, error)
                path.replace(path.with_suffix(".damaged"))
        return None


def _journal_of(spool: Spool) -> str:
    assert spool.path is not None
    return spool.path.stem


def _age(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _remove(spool: Spool) -> None:
    """Delete a file while its lock is held, so that nobody opens it meanwhile."""
    path = spool.path
    assert path is not None
    for suffix in ("", "-wal", "-shm", ".lock"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    spool.close()
