"""A camera that answers one JPEG to each request: its address is fetched again and again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

from ..core.camera_url import CameraUrl
from ..media.clock_watch import ClockWatch
from .base import ConnectionSettings, Decoded, SourceLostError
from .connection import open_connection
from .packets import stalled

TIME_BASE = Fraction(1, 90_000)
_NO_JPEG = (
    "what it answers is no JPEG (PNG, WebP, HEIC and web pages are none); every_s wants the address of a JPEG"
)
# By default FFmpeg reads on for 5 s where the camera sends one picture after the other.
ONE_PICTURE = {"analyzeduration": "0", "probesize": "32"}
# Tries that may fail one after the other, after pictures that came, until the camera is away, all of them within
# ``stall_timeout``. A lost request now and then is nothing.
TRIES = 3
# Seconds that even the last of them has.
LEAST = 0.1


@contextmanager
def open_snapshots(
    url: CameraUrl, options: Mapping[str, str], settings: ConnectionSettings
) -> Iterator[SnapshotConnection]:
    """Fetch the first picture. Raises SourceLostError.

    Args:
        url: an ``http(s)://`` address.
        options: FFmpeg's.
        settings: limits, and what the connection reports to; its ``every_s`` is set.
    """
    yield SnapshotConnection(url, options, settings)


class SnapshotConnection:
    """Fetches a JPEG every ``settings.every_s`` seconds, each by a request of its own; see ``open_snapshots``.

    FFmpeg fetches, so login (basic and digest), redirects and TLS are as for streams. A picture's PTS is the time at
    which it was asked for, on our clock.
    """

    time_base = TIME_BASE

    def __init__(self, url: CameraUrl, options: Mapping[str, str], settings: ConnectionSettings) -> None:
        if settings.every_s is None:
            raise ValueError("snapshots need the seconds between two of them")
        self._url = url
        self._options = options
        self._settings = settings
        self.frame_seconds = settings.every_s
        self.clock_watch = ClockWatch(stamped=True)
        self._began = settings.clock.monotonic()
        self._first = self._fetch(settings.open_timeout)

    def frames(self) -> Iterator[Decoded]:
        """The pictures, until ``settings.stop`` is set. Raises SourceLostError."""
        clock, stop = self._settings.clock, self._settings.stop
        yield self._first
        due = self._began
        while True:
            # Counted from the first, so that the time a fetch takes does not add up; what was missed is left out.
            due = max(due + self.frame_seconds, clock.monotonic())
            if clock.wait(stop, due - clock.monotonic()):
                return
            picture = self._due_at(due)
            if picture is None:
                return
            yield picture

    def _due_at(self, due: float) -> Decoded | None:
        """The picture that is due, after several tries if need be; None if ``settings.stop`` was set meanwhile."""
        clock, patience = self._settings.clock, self._settings.stall_timeout
        until, pause = due + patience, min(self.frame_seconds, patience / TRIES)
        for left in reversed(range(TRIES)):
            asked = clock.monotonic()
            try:
                return self._fetch(max(until - asked, LEAST))
            except SourceLostError as lost:
                if clock.monotonic() >= until:
                    raise stalled(patience) from None
                if not left or lost.reason == "unauthorised":
                    raise
            if clock.wait(self._settings.stop, min(asked + pause, until) - clock.monotonic()):
                break
        return None

    def _fetch(self, within: float) -> Decoded:
        """The next picture. Raises SourceLostError, after ``within`` seconds at the latest."""
        at = self._settings.clock.monotonic()
        opening = open_connection(
            self._url.reveal(),
            container_format="jpeg_pipe",
            options={**self._options, **ONE_PICTURE},
            live=False,  # one picture, which comes as fast as it can
            settings=replace(self._settings, open_timeout=within, stall_timeout=within),
        )
        with opening as connection:
            decoded = next(connection.frames(), None)
        if decoded is None:
            raise SourceLostError("decode", _NO_JPEG)
        picture = decoded.video
        picture.pts, picture.time_base = round((at - self._began) / TIME_BASE), TIME_BASE
        return Decoded(picture, at, on_time=True, packets=decoded.packets)
