"""An output's reason is what its error carries, or else what the error's number says."""

from __future__ import annotations

import errno
import os

import pytest

from nightday.pipeline.core.faults import OutputError, OutputReason
from nightday.pipeline.outputs.reasons import output_reason
from nightday.pipeline.outputs.rtsp.client import RtspError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutputError("unsupported", "no such codec"), "unsupported"),
        (RtspError(401, "refused"), "unauthorised"),
        (RtspError(403, "refused"), "unauthorised"),
        (RtspError(404, "refused"), "not_found"),
        (RtspError(454, "refused"), "failed"),
        (RtspError(0, "no RTSP"), "failed"),
        *((OSError(number, os.strerror(number)), "disk_full") for number in (errno.ENOSPC, errno.EDQUOT)),
        *((OSError(number, os.strerror(number)), "denied") for number in (errno.EACCES, errno.EPERM)),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "read_only"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "disk_error"),
        (OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)), "unreachable"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refused"),
        (TimeoutError("timed out"), "timeout"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "end_of_stream"),
        (ValueError("whatever"), "failed"),
    ],
)
def test_reasons(error: Exception, reason: OutputReason) -> None:
    assert output_reason(error) == reason
