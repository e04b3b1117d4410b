"""Whether a live source that sends data gives pictures, too."""

from __future__ import annotations

# Seconds of data without a key frame after which a connection is given up. Cameras that save bits send one a minute.
KEY_WAIT = 180.0
# Seconds of nothing but errors, after pictures that were good, until the decoder is opened anew. A damaged stream
# gives a picture now and then; one whose codec has changed never does.
BROKEN_RUN = 3.0


class Progress:
    """What became of one live connection's packets, in monotonic seconds of their arrival.

    Args:
        stall_timeout: seconds of data without a picture, though there was a key frame, that are too many.
        now: when the connection began.
    """

    def __init__(self, stall_timeout: float, now: float) -> None:
        self._stall_timeout = stall_timeout
        self._now = self._picture_at = self._clean_at = now
        self._starved = False  # whether the last packet came so late that the source is lost as stalled
        self._broken_at: float | None = None  # since when there have been errors only
        self._key_at: float | None = None  # when the first key frame since the last picture came

    def saw_packet(self, at: float, *, key: bool) -> None:
        """A packet came ``at``."""
        self._starved = at - self._now >= self._stall_timeout
        self._now = at
        if key and self._key_at is None:
            self._key_at = at

    def saw_error(self) -> None:
        """That packet could not be decoded."""
        self._broken_at = self._now if self._broken_at is None else self._broken_at

    def saw_no_error(self) -> None:
        """That packet could be decoded, or was taken by the decoder."""
        self._clean_at = self._now

    def saw_picture(self) -> None:
        """That packet gave a picture."""
        self._picture_at, self._broken_at, self._key_at = self._now, None, None

    def fault(self, *, good: bool) -> str | None:
        """Why the source is to be given up, though data comes; None if it is not.

        ``good`` says whether a picture without an error has come.
        """
        since = self._clean_at if self._key_at is None else self._key_at
        if not self._starved and self._now - max(since, self._picture_at) > self._stall_timeout:
            return f"data came but no picture for {self._stall_timeout:g} s"
        # Without a key frame there can be no picture, and opening the source anew would begin the wait anew.
        if self._key_at is None and self._now - self._picture_at > KEY_WAIT:
            return f"data came but no key frame for {KEY_WAIT:g} s"
        if good and self._broken_at is not None and self._now - self._broken_at > BROKEN_RUN:
            return f"nothing but errors for {BROKEN_RUN:g} s"
        return None
