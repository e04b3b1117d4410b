"""A writer that writes only while its node has the camera."""

from __future__ import annotations

from ..core.frame import Picture
from ..core.lease import Lease
from .writer import PictureSkipped, Writer


class LeasedWriter:
    """Passes on to ``writer`` what comes while ``lease`` holds.

    Nothing is written without it, the end of what is open included: that is completed once the lease holds again, or
    never. A node that was stopped in mid-stream and goes on later so leaves everything as it is.
    """

    def __init__(self, writer: Writer, lease: Lease) -> None:
        self._writer = writer
        self._lease = lease
        self._close_due = False

    def write(self, picture: Picture) -> None:
        """See ``Writer``. Raises PictureSkipped without the lease."""
        if not self._lease.may_write():
            raise PictureSkipped("no_lease")
        if self._close_due:
            self.close()
        self._writer.write(picture)

    def idle(self, seconds: float) -> None:
        """See ``Writer``."""
        if self._lease.may_write():
            self._writer.idle(seconds)

    def close(self) -> None:
        """See ``Writer``."""
        self._close_due = not self._lease.may_write()
        if not self._close_due:
            self._writer.close()
