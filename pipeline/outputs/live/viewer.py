"""One viewer's stream, and what of it waits to be taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..encoding.shared_encoder import EncodedPicture

# What may wait for a viewer to take it, in pictures (3 s at 25 fps) and in bytes. A viewer that is further behind
# loses all of it, and goes on with the next key frame.
MOST_PICTURES = 75
MOST_BYTES = 4 * 2**20


class Muxer(Protocol):
    """Makes bytes of the encoded pictures of one stream."""

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to its stream."""
        ...

    def mux(self, encoded: EncodedPicture) -> bytes:
        """What is complete with one picture more; may be empty."""
        ...

    def resume(self, first: EncodedPicture) -> Muxer | None:
        """What goes on with a key frame after pictures were left out; None where nothing can."""
        ...


class LiveViewer:
    """One viewer's stream, and what of it waits to be taken. See ``Viewer``.

    Args:
        begin: makes the muxer of a stream that begins with this key frame.
        wake: called when there is something to take, or nothing will come any more.
        leave: told when it leaves.
    """

    def __init__(
        self,
        *,
        begin: Callable[[EncodedPicture], Muxer],
        wake: Callable[[], None],
        leave: Callable[[LiveViewer], None],
    ) -> None:
        self._begin = begin
        self._wake = wake
        self._leave = leave
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._muxer: Muxer | None = None
        self._behind = self._taken = self._ended = False
        self.begun = False
        """Whether it has had its first key frame."""
        self.wants_key = False
        """Whether it has asked for a key frame since its last one."""
        self.times_behind = 0
        """How often it was so far behind that it lost what waited."""

    def put(self, encoded: EncodedPicture) -> None:
        """Add a picture to its stream, unless it waits for a key frame and this is none."""
        with self._lock:
            if self._ended:
                return
            if len(self._pieces) >= MOST_PICTURES or self._bytes >= MOST_BYTES:
                self._pieces.clear()
                self._bytes = 0
                self._behind = True
                self.times_behind += 1
            if self._behind or self._muxer is None or not self._muxer.accepts(encoded):
                if not encoded.key:
                    return
                # If nothing was taken, the beginning is lost, too.
                before = self._muxer if self._taken else None
                self._muxer = self._begin(encoded) if before is None else before.resume(encoded)
                self._behind = False
            if self._muxer is None:
                self._ended = True
            else:
                piece = self._muxer.mux(encoded)
                if piece:
                    self._pieces.append(piece)
                    self._bytes += len(piece)
            self.begun = True
            self.wants_key = self.wants_key and not encoded.key
        self._wake()

    def take(self) -> bytes | None:
        """The next piece of its stream; empty while there is none, None once none will come."""
        with self._lock:
            if self._pieces:
                piece = self._pieces.popleft()
                self._bytes -= len(piece)
                self._taken = True
                return piece
            return None if self._ended else b""

    def want_key(self) -> None:
        """Ask for a key frame. See ``Viewer``."""
        self.wants_key = True

    def end(self) -> None:
        """Nothing more will come than what waits."""
        with self._lock:
            self._ended = True
            self._muxer = None
        self._wake()

    def leave(self) -> None:
        """Watch no longer. May be called more than once."""
        self._leave(self)
        with self._lock:
            self._ended = True
            self._muxer = None
            self._pieces.clear()
            self._bytes = 0


class JpegViewer:
    """One viewer of a stream of JPEGs, for whom only the newest waits. See ``Viewer``.

    Args:
        wake: called when there is something to take, or nothing will come any more.
        leave: told when it leaves.
    """

    def __init__(self, *, wake: Callable[[], None], leave: Callable[[JpegViewer], None]) -> None:
        self._wake = wake
        self._leave = leave
        self._newest = b""
        self._ended = False
        self._lock = threading.Lock()

    def put(self, jpeg: bytes) -> None:
        """Have ``jpeg`` wait in place of what waits."""
        with self._lock:
            if self._ended:
                return
            self._newest = jpeg
        self._wake()

    def take(self) -> bytes | None:
        """The newest JPEG, if it was not taken yet; else empty, or None once none will come."""
        with self._lock:
            newest, self._newest = self._newest, b""
            return newest or (None if self._ended else b"")

    def want_key(self) -> None:
        """Each JPEG is whole by itself."""

    def end(self) -> None:
        """Nothing more will come than what waits."""
        with self._lock:
            self._ended = True
        self._wake()

    def leave(self) -> None:
        """Watch no longer. May be called more than once."""
        self._leave(self)
        with self._lock:
            self._ended = True
            self._newest = b""
