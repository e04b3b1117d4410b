"""The reasons that the operating system gives for what cannot be written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.faults import OutputError, OutputReason, detail_of

_REASONS: dict[int | None, OutputReason] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EIO: "disk_error",
}


@contextmanager
def typed_system_errors() -> Iterator[None]:
    """Raise an OutputError, with its reason, in place of an OSError whose number says enough; a decorator, too."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno)
        if reason is None:
            raise
        raise OutputError(reason, detail_of(error)) from error
