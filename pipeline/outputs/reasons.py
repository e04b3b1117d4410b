"""Why an output is not being written."""

from __future__ import annotations

import errno

from ..core.faults import OutputError, OutputReason
from ..media.ffmpeg import reason_of

_SYSTEM_REASONS: dict[int | None, OutputReason] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EIO: "disk_error",
}


def output_reason(error: BaseException) -> OutputReason:
    """The reason that an error carries, or else what the operating system's or FFmpeg's error number says."""
    if isinstance(error, OutputError):
        return error.reason
    if isinstance(error, OSError) and error.errno in _SYSTEM_REASONS:
        return _SYSTEM_REASONS[error.errno]
    return reason_of(error)
