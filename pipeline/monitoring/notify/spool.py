"""What waits to be sent, on disk: numbered messages, and how far each reader has come.

A message stays until every reader has acknowledged it. The file is bounded: when it is full the oldest go. It
survives a process that is killed; a power cut may take the last seconds.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from nightday.engines.cache.file_lock import locked
from nightday.engines.errors import NightdayError

from .message import Message, StoredMessage, stored

# Messages, and bytes of them, that may wait: two days of 40 cameras with an event each minute.
MOST_MESSAGES = 100_000
MOST_BYTES = 64_000_000
# Seconds that a call under way has to end.
CLOSE_WITHIN = 1.0
# Journals of which it is known how far they were taken: years of nodes that come and go.
MOST_ORIGINS = 10_000
# The share of what waits that goes at once, so that a full spool is not tidied for each message.
_STEP = 0.01

_TABLES = """
CREATE TABLE IF NOT EXISTS spool (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, camera TEXT, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS readers (name TEXT PRIMARY KEY, acknowledged INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS remembered (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS origins (journal TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""


class SpoolInUseError(NightdayError):
    """Another process has the spool."""


class Spool:
    """Messages in a SQLite file. Any thread may call it; calls wait for each other and for the disk.

    All but ``__init__`` raise sqlite3.Error if the disk fails.

    Args:
        path: the file; None keeps everything in memory.
        most_messages, most_bytes: how much may wait.

    Raises:
        SpoolInUseError: another process has it.
        OSError, sqlite3.Error: it cannot be opened.
    """

    def __init__(
        self, path: Path | None, *, most_messages: int = MOST_MESSAGES, most_bytes: int = MOST_BYTES
    ) -> None:
        self.path = path
        self._most = most_messages, most_bytes
        self._lock = threading.Lock()
        self._held = ExitStack()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not self._held.enter_context(locked(path.with_name(f"{path.name}.lock"))):
                raise SpoolInUseError(f"another nightday-stream uses {path}")
        try:
            self._database = self._opened(path)
            self._count, self._bytes = self._size()
            self.id = self._own_id()
        except BaseException:
            self._held.close()
            raise

    def _opened(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:  # only its owner may read it
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA journal_size_limit = 4000000")
            database.executescript(_TABLES)
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(str(verdict))
        except BaseException:
            database.close()
            raise
        return database

    def _own_id(self) -> str:
        row = self._database.execute("SELECT id FROM spool").fetchone()
        if row is not None:
            return str(row[0])
        own = uuid.uuid4().hex
        self._database.execute("INSERT INTO spool VALUES (?)", (own,))
        return own

    def _size(self) -> tuple[int, int]:
        count, size = self._database.execute(
            "SELECT count(*), coalesce(sum(length(CAST(body AS BLOB))), 0) FROM messages"
        ).fetchone()
        return int(count), int(size)

    @property
    def waiting(self) -> int:
        """How many messages wait for a reader."""
        return self._count

    @property
    def roomy(self) -> bool:
        """Whether half of what may wait is free."""
        most_messages, most_bytes = self._most
        return 2 * self._count <= most_messages and 2 * self._bytes <= most_bytes

    def close(self) -> None:
        """Let go of the file, unless a call hangs in the disk. What is called afterwards raises sqlite3.Error."""
        if self._lock.acquire(timeout=CLOSE_WITHIN):
            self._database.close()
            self._held.close()
            self._lock.release()

    def keep_readers(self, names: Collection[str]) -> None:
        """From now on these read. A new one begins with the next message; what the others have left goes."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            (last,) = self._database.execute(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'messages'"
            ).fetchone()
            known = {str(name) for (name,) in self._database.execute("SELECT name FROM readers")}
            for name in known - set(names):
                self._database.execute("DELETE FROM readers WHERE name = ?", (name,))
            for name in set(names) - known:
                self._database.execute("INSERT INTO readers VALUES (?, ?)", (name, last))
            self._tidy()

    def add(self, messages: Sequence[Message]) -> int:
        """Number messages and keep them. How many of the oldest went to make room, unsent.

        Of an origin each number is taken once, and none that is below one that was taken.
        """
        with self._lock:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                new = _not_taken(self._database, messages)
                # After a failure below the same messages come again, where they have numbers of their own.
                self._database.executemany(
                    "INSERT OR IGNORE INTO messages (number, event, camera, body) VALUES (?, ?, ?, ?)",
                    [(one.number, one.event, one.camera, one.body) for one in new],
                )
            self._count += len(new)
            self._bytes += sum(len(one.body.encode()) for one in new)
            return self._make_room()

    def _make_room(self) -> int:
        most_messages, most_bytes = self._most
        before = self._count
        while self._count > most_messages or (self._bytes > most_bytes and self._count > 1):
            over = max(self._count - most_messages, 0)
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute(
                    "DELETE FROM messages WHERE number IN (SELECT number FROM messages ORDER BY number LIMIT ?)",
                    (max(over, int(_STEP * self._count), 1),),
                )
            self._count, self._bytes = self._size()
        return before - self._count

    def after(self, number: int, limit: int) -> list[StoredMessage]:
        """The next messages after ``number``, in order, ``limit`` at most."""
        with self._lock:
            rows = self._database.execute(
                "SELECT number, event, camera, body FROM messages WHERE number > ? ORDER BY number LIMIT ?",
                (number, limit),
            ).fetchall()
        return [stored(self.id, row[0], Message(*row[1:])) for row in rows]

    def acknowledged(self, reader: str) -> int:
        """The number up to which a reader has all messages. sqlite3.Error also if it is none of those kept."""
        with self._lock:
            row = self._database.execute(
                "SELECT acknowledged FROM readers WHERE name = ?", (reader,)
            ).fetchone()
        if row is None:
            raise sqlite3.OperationalError(f"{reader} is not among those that read {self.path or 'it'}")
        return int(row[0])

    def acknowledge(self, reader: str, number: int) -> None:
        """A reader has all messages up to ``number``; those that all have go."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.execute(
                "UPDATE readers SET acknowledged = ? WHERE name = ? AND acknowledged < ?",
                (number, reader, number),
            )
            self._tidy()

    def _tidy(self) -> None:
        gone = self._database.execute(
            "DELETE FROM messages WHERE number <= coalesce((SELECT min(acknowledged) FROM readers), number) "
            "RETURNING length(CAST(body AS BLOB))"
        ).fetchall()
        self._count -= len(gone)
        self._bytes -= sum(size for (size,) in gone)

    def remember(self, name: str, value: str) -> None:
        """Remember a value beside the messages, in place of the one before."""
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?)", (name, value))

    def recall(self, name: str) -> str | None:
        """What was remembered; None if nothing was."""
        with self._lock:
            row = self._database.execute("SELECT value FROM remembered WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])


def _not_taken(database: sqlite3.Connection, messages: Sequence[Message]) -> list[Message]:
    """Those that were not taken before, which are noted as taken now."""
    new: list[Message] = []
    taken: dict[str, int] = {}
    for one in messages:
        if one.origin is not None:
            journal, number = one.origin
            if journal not in taken:
                row = database.execute("SELECT number FROM origins WHERE journal = ?", (journal,)).fetchone()
                taken[journal] = 0 if row is None else int(row[0])
            if number <= taken[journal]:
                continue
            taken[journal] = number
        new.append(one)
    if taken:
        database.executemany("INSERT OR REPLACE INTO origins VALUES (?, ?)", [*taken.items()])
        database.execute(
            "DELETE FROM origins WHERE rowid <= (SELECT max(rowid) FROM origins) - ?", (MOST_ORIGINS,)
        )
    return new
