"""What an output writes with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nightday.engines.errors import NightdayError

if TYPE_CHECKING:
    from ..core.counters import DropReason
    from ..core.frame import Picture


class Writer(Protocol):
    """Writes the pictures of one output, in that output's thread only.

    Where a writer knows more than the operating system's or FFmpeg's error says, it raises an OutputError with the
    reason.
    """

    def write(self, picture: Picture) -> None:
        """Write one picture. Any exception but PictureSkipped means that the output is lost for now."""
        ...

    def idle(self, seconds: float) -> None:
        """Told about once a second that no picture has come for ``seconds``; may raise as ``write`` does."""
        ...

    def close(self) -> None:
        """Complete what was written. ``write`` may be called again afterwards and begins anew."""
        ...


class PictureSkipped(NightdayError):  # noqa: N818 - nothing went wrong
    """This output cannot use a picture: one that it depends on was skipped before, or it comes too late.

    A key frame has been asked for, with which the output can go on. Or another node may have the camera ("no_lease").

    Attributes:
        reason: what the picture is counted under.
    """

    def __init__(self, reason: DropReason = "output_slow") -> None:
        super().__init__(reason)
        self.reason: DropReason = reason
