"""Signing the recordings of one output as they are finished, each record chained to the one before."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from nightday.engines.distribution import program_version

from ....core.atomic_file import write_atomically
from ....core.camera_url import redact
from ....core.events import Notice, Publish
from ....core.faults import detail_of
from .facts import Facts, utc
from .keys import own_key
from .records import Record, digest, digest_of, read, record_path, signed

# Recordings that may wait to be signed, on a disk that is full or away. The oldest beyond stay unsigned.
MOST_WAITING = 1000
Embed = Callable[[Path, Record], None]
"""Puts what is said of a recording into it. Raises OSError, FileNotFoundError if it is gone."""
# Others than the owner may check.
_READABLE = 0o644


class Ledger:
    """Writes a signed record beside each recording, and where their chain ends, in a thread while there is work.

    A record holds the recording's SHA-256 and that of the record before. The end of the chain, a file in the folder
    of the recordings, tells how many there are and which were deleted on purpose. What cannot be written is told, and
    tried again with the next.

    Args:
        template: the output's strftime template.
        camera: the camera's name.
        view: what the recordings show.
        key: the file of the key.
        publish: told what cannot be signed.
        content_credentials: whether recordings also get a manifest within them; see ``ContentCredentials``.
    """

    def __init__(
        self,
        *,
        template: Path,
        camera: str,
        view: str,
        key: Path,
        publish: Publish,
        content_credentials: bool = False,
    ) -> None:
        self._folder = next(level for level in template.parents if "%" not in str(level))
        self._camera = camera
        self._view = view
        self._key_file = key
        self._content_credentials = content_credentials
        self._publish = publish
        # Two outputs may share a folder.
        self._name = hashlib.sha256(f"{camera} {template.name}".encode()).hexdigest()[:8]
        self._idle = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque(maxlen=MOST_WAITING)
        self._working = self._failing = False
        self._chain: _Chain | None = None

    def sign(self, path: Path, facts: Facts) -> None:
        """Have a finished recording signed; returns at once."""
        self._do(lambda: self._opened().add(path, self._said(facts)))

    def forget(self, path: Path) -> None:
        """A recording was deleted on purpose: its record goes, too, and the chain says so."""
        record = record_path(path)
        try:
            known = read(record.read_bytes())
            record.unlink()
        except OSError:
            return
        if known is not None and isinstance(known.get("number"), int):
            self._do(lambda: self._opened().forget(known["chain"], known["number"]))

    def finish(self, timeout: float) -> bool:
        """Wait until all is signed, for at most ``timeout`` seconds. True if nothing waits."""
        with self._idle:
            self._idle.wait_for(lambda: not self._working, timeout)
            return not self._jobs

    def _do(self, job: Callable[[], None]) -> None:
        with self._idle:
            self._jobs.append(job)
            start, self._working = not self._working, True
        if start:
            threading.Thread(target=self._work, name=f"sign-{self._camera}", daemon=True).start()

    def _work(self) -> None:
        """Do what waits. Where that fails, it waits for the next job, and is tried again before it."""
        while True:
            with self._idle:
                if not self._jobs:
                    self._end_work()
                    return
                job = self._jobs[0]
            try:
                job()
            except Exception as error:
                self._tell(error)
                with self._idle:
                    self._end_work()
                return
            self._failing = False
            with self._idle:
                if self._jobs and self._jobs[0] is job:
                    self._jobs.popleft()

    def _end_work(self) -> None:
        self._working = False
        self._idle.notify_all()

    def _tell(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            at = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            text = f"recordings in {self._folder} cannot be signed: {detail_of(error)}{redact(at)}"
            self._publish(Notice(camera=self._camera, name="signing_failed", detail=text, level="warning"))

    def _said(self, facts: Facts) -> Record:
        return {"camera": self._camera, "view": self._view, "program": program_version()} | facts.told()

    def _opened(self) -> _Chain:
        if self._chain is None:
            embed = self._embed() if self._content_credentials else _nothing
            self._chain = _Chain.opened(self._folder, self._name, self._key_file, embed)
        return self._chain

    def _embed(self) -> Embed:
        from .content_credentials import CERTIFICATES, ContentCredentials

        key = own_key(self._key_file)
        return ContentCredentials(key, self._key_file.with_name(CERTIFICATES)).embed


def _nothing(recording: Path, said: Record) -> None:
    """Puts no manifest into a recording."""


class _Chain:
    """A chain of records, and the file that tells where it ends."""

    def __init__(self, path: Path, key: Any, embed: Embed, *, end: Record) -> None:
        self._path = path
        self._key = key
        self._embed = embed
        self._end = end

    @staticmethod
    def opened(folder: Path, name: str, key_file: Path, embed: Embed) -> _Chain:
        """The chain of this name in ``folder``; a new one where there is none, or none that is whole and ours."""
        folder.mkdir(parents=True, exist_ok=True)
        key = own_key(key_file)
        for number in count():
            path = folder / f"provenance-{name}{f'-{number}' if number else ''}.json"
            if not path.exists():
                end = {"chain": secrets.token_hex(8), "first": 0, "next": 0, "deleted": [], "last": ""}
                return _Chain(path, key, embed, end=end)
            known = read(path.read_bytes())
            ours = known is not None and known["public_key"] == key.public_key().public_bytes_raw().hex()
            if known is not None and ours and "next" in known:
                wanted = ("chain", "first", "next", "deleted", "last")
                return _Chain(path, key, embed, end={name: known[name] for name in wanted})
        raise AssertionError("count does not end")

    def add(self, recording: Path, said: Record) -> None:
        """Sign one recording more. Raises OSError; one that is gone is passed over."""
        try:
            self._embed(recording, said)
            sha256, size = digest_of(recording)
        except FileNotFoundError:  # retention was faster
            return
        end = self._end
        content = said | {
            "chain": end["chain"],
            "number": end["next"],
            "previous": end["last"],
            "file": recording.relative_to(self._path.parent).as_posix(),
            "sha256": sha256,
            "bytes": size,
            "signed": utc(time.time()),
        }
        data = signed(content, self._key)
        write_atomically(record_path(recording), [data], durable=True, mode=_READABLE)
        self._write(end | {"next": end["next"] + 1, "last": digest(data)})

    def forget(self, chain: str, number: int) -> None:
        """Note that a record was deleted on purpose. Raises OSError."""
        end = self._end
        if chain != end["chain"] or not end["first"] <= number < end["next"]:
            return
        deleted, first = {*end["deleted"], number}, end["first"]
        while first in deleted:
            deleted.remove(first)
            first += 1
        self._write(end | {"first": first, "deleted": sorted(deleted)})

    def _write(self, end: Record) -> None:
        write_atomically(self._path, [signed(end, self._key)], durable=True, mode=_READABLE)
        self._end = end
