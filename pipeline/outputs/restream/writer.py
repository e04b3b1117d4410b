"""Restreaming: a connection to a media server, opened anew as needed, and a stand-in while no picture comes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from ...core.clock import Clock, SystemClock
from ...core.frame import Picture
from ..encoding.shared_encoder import EncodedPicture, EncoderClient, SharedEncoder
from ..module import NO_SOUNDS, Sounds
from .stand_in import StandIn, stand_in_for

# Seconds to connect, for one answer, and for the server to take one picture.
IO_TIMEOUT = 3.0
# Seconds without a picture until the last one is sent again, and between two of those. go2rtc closes a stream after
# 15 s without a picture, and its viewers stay black for good, even when the stream is back.
STAND_IN_EVERY = 10.0
# Seconds between the last stand-in and the first picture after it, at the least.
STEP = Fraction(1, 100)


class Connection(Protocol):
    """One stream to a server, which was begun by making it."""

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture."""
        ...

    def keep_alive(self) -> None:
        """Give a sign of life where one is due. Raises an error if the server has hung up."""
        ...

    def close(self) -> None:
        """End the stream and the connection."""
        ...


class Restreamer:
    """Sends pictures to a server; connects at the first picture.

    PTS keep their distances. A picture of another size or time base begins the stream anew. Raises OutputError,
    OSError or PyAV's errors from ``write``; call ``close`` then and write again to reconnect. While no picture comes,
    the last one is sent again every ``STAND_IN_EVERY`` seconds, and says so.

    Args:
        connect: begins a stream with this picture, which is to be sent, too.
        sounds: the sound that goes along; another one begins the stream anew.
        encoder: the camera's, shared with its other outputs; without one it encodes for itself.
        clock: time.
    """

    def __init__(
        self,
        *,
        connect: Callable[[EncodedPicture], Connection],
        sounds: Sounds = NO_SOUNDS,
        encoder: SharedEncoder | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._connect = connect
        self._sounds = sounds
        self._encoder = EncoderClient(encoder or SharedEncoder())
        self._clock = clock or SystemClock()
        self._open: _Stream | None = None
        self._stand_in: StandIn | None = None
        self._sent_at = 0.0  # monotonic seconds

    def write(self, picture: Picture) -> None:
        """Send one picture, connecting first where needed. Raises PictureSkipped before its first key frame."""
        # After a stand-in too, for what follows refers to a picture that viewers no longer have.
        begins = self._open is None or self._open.stands_in
        encoded = self._encoder.encode(picture, begins=begins)
        if self._open is not None and not self._open.accepts(encoded):
            self.close()
        now = self._clock.monotonic()
        self._stand_in = stand_in_for(
            picture, encoded, shown_at=now, shape=self._encoder.shown, view=self._encoder.view
        )
        self._send(encoded)

    def idle(self, seconds: float) -> None:
        """Told now and then that no picture has come for ``seconds``: send a stand-in, or a sign of life.

        Raises an error if the server has hung up, or cannot be reached again.
        """
        now = self._clock.monotonic()
        if self._stand_in is not None and now - self._sent_at >= STAND_IN_EVERY:
            self._send(self._stand_in.encoded(now), stands_in=True)
        elif self._open is not None:
            self._open.connection.keep_alive()

    def close(self) -> None:
        """End the stream and the connection, if any."""
        stream, self._open = self._open, None
        if stream is not None:
            stream.connection.close()

    def _send(self, encoded: EncodedPicture, *, stands_in: bool = False) -> None:
        if self._open is None:
            self._open = _Stream(self._connect(encoded), encoded, self._sounds)
        self._open.send(encoded, stands_in=stands_in)
        self._sent_at = self._clock.monotonic()


class _Stream:
    """A connection, and the times of what was sent over it."""

    def __init__(self, connection: Connection, first: EncodedPicture, sounds: Sounds) -> None:
        self.connection = connection
        self._first = first
        self._sounds = sounds
        self._step = max(1, math.ceil(STEP / first.time_base))
        self._last_pts = first.pts - self._step
        self._shift = 0
        self.stands_in = False
        """Whether the last picture sent was a stand-in."""

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return encoded.goes_on(self._first, self._sounds)

    def send(self, encoded: EncodedPicture, *, stands_in: bool) -> None:
        """Send one picture. Those after a stand-in are moved where their PTS would not lie after its own."""
        if stands_in or self.stands_in:
            self._shift = max(0, self._last_pts + self._step - encoded.pts)
        self.stands_in = stands_in
        self._last_pts = encoded.pts + self._shift
        moved = self._shift * encoded.time_base
        sound = tuple(replace(one, at=one.at + moved) for one in encoded.sound) if moved else encoded.sound
        self.connection.send(replace(encoded, pts=self._last_pts, sound=sound))
