"""What can go wrong with a source or an output: typed reasons, and the exception that carries one."""

from __future__ import annotations

from typing import Literal

from nightday.engines.errors import NightdayError

from .camera_url import redact

FaultReason = Literal[
    "refused",
    "unauthorised",
    "not_found",
    "timeout",
    "stall",
    "end_of_stream",
    "decode",
    "unreachable",
    "unsupported",
    "failed",
]
"""Why a source, or an output on the network, is away. ``timeout`` is silence at opening, ``stall`` in mid-stream."""

SourceReason = FaultReason | Literal["no_node"]
"""Why a camera is away: for its source, or because its node of a cluster is gone."""

DiskReason = Literal["disk_full", "read_only", "denied", "disk_error"]
"""Why files cannot be written."""

OutputReason = FaultReason | DiskReason
"""Why an output is not being written."""


class OutputError(NightdayError, OSError):
    """An output cannot be written; its writer knows why.

    Attributes:
        reason: why, for people and programs.
    """

    def __init__(self, reason: OutputReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: OutputReason = reason


def detail_of(error: BaseException) -> str:
    """One line on an exception, without the address it may hold."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact(" ".join(str(text).split()))
