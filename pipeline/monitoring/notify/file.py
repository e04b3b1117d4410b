"""Events in a file, one JSON object a line, for whatever reads lines."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from .message import StoredMessage
from .sink import SendingFailedError, SimpleSink, Surroundings

# Bytes at a file's end in which its last line is looked for.
_TAIL = 64 * 1024


class FileSink(SimpleSink):
    """Appends messages to a file. When that is full it becomes ``NAME.1``, that one ``NAME.2``, and so on.

    Each message is written once: what a process that was killed had written is read back from the file.

    Args:
        path: the file; its folder is made if missing.
        most_bytes: the size that a file keeps below.
        keep: how many older files stay.
        around: see ``Sink``.
    """

    def __init__(self, path: Path, *, most_bytes: int, keep: int, around: Surroundings) -> None:
        super().__init__("file", target=str(path), events=("*",), around=around)
        self._path = path
        self._most_bytes = most_bytes
        self._keep = keep
        self._file: IO[bytes] | None = None
        self._written = 0  # the number of the last message in the file

    def send(self, messages: list[StoredMessage]) -> int:
        """See ``SimpleSink``."""
        try:
            file = self._file if self._file is not None and self._is_there(self._file) else self._open()
            for message in messages:
                if message.number > self._written:
                    line = message.data + b"\n"
                    if file.tell() and file.tell() + len(line) > self._most_bytes:
                        file = self._rotated()
                    file.write(line)
                    self._written = message.number
            file.flush()
        except OSError as error:
            self.close()
            raise SendingFailedError(error.strerror or str(error)) from None
        return len(messages)

    def close(self) -> None:
        """See ``SimpleSink``."""
        if self._file is not None:
            with suppress(OSError):  # what cannot be written any more was not acknowledged
                self._file.close()
            self._file = None

    def _is_there(self, file: IO[bytes]) -> bool:
        """Whether the file still has its name; another program may have put it aside."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> IO[bytes]:
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        whole, number = self._last_line(self._path)
        if not whole:  # it may just have been put aside
            number = self._last_line(self._aside(1))[1]
        self._file = file = open(self._path, "ab")  # noqa: SIM115 - ``close`` closes it
        if whole < file.tell():  # a line that a killed process did not finish; it is written again
            file.truncate(whole)
            file.seek(whole)
        self._written = number
        return file

    def _rotated(self) -> IO[bytes]:
        self.close()
        for number in range(self._keep, 0, -1):
            newer = self._path if number == 1 else self._aside(number - 1)
            with suppress(FileNotFoundError):
                newer.replace(self._aside(number))
        if not self._keep:
            self._path.unlink()
        self._file = open(self._path, "ab")  # noqa: SIM115 - ``close`` closes it
        return self._file

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _last_line(self, path: Path) -> tuple[int, int]:
        """How many bytes of a file are whole lines, and the number of its last message; 0 if of another spool."""
        try:
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                tail = file.read(_TAIL)
        except FileNotFoundError:
            return 0, 0
        end = tail.rfind(b"\n") + 1
        if not end:
            return (0 if size <= _TAIL else size), 0
        line = tail[tail.rfind(b"\n", 0, end - 1) + 1 : end]
        try:
            spool, _, number = str(json.loads(line)["id"]).rpartition("-")
            return size - len(tail) + end, int(number) if spool == self._spool.id else 0
        except (ValueError, KeyError, TypeError):
            return size - len(tail) + end, 0
