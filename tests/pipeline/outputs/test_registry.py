"""Which module writes what, what each says of itself, and that asking costs no heavy import."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import get_args

import pytest

from nightday.pipeline.config.output import OutputConfig
from nightday.pipeline.core.camera_url import redact
from nightday.pipeline.core.faults import DiskReason, FaultReason, OutputError, OutputReason
from nightday.pipeline.outputs import hls, mp4, registry, rtmp, rtsp, udp, whip
from nightday.pipeline.outputs.module import OutputModule
from nightday.pipeline.outputs.reasons import output_reason
from nightday.pipeline.outputs.registry import advice, output_fault, output_url
from nightday.pipeline.outputs.rtsp.client import RtspError

MODULES: dict[str, OutputModule] = {
    "file": mp4,
    "hls": hls,
    "rtmp": rtmp,
    "rtmps": rtmp,
    "rtsp": rtsp,
    "udp": udp,
    "whip": whip,
    "whips": whip,
}
GOOD = {
    "file": "out/%H.mp4",
    "hls": "hls:out/live.m3u8",
    "rtmp": "rtmp://h/a/k",
    "rtmps": "rtmps://h/a/k",
    "rtsp": "rtsp://h/day",
    "udp": "udp://239.0.0.1:1234?ttl=4",
    "whip": "whip://h/gate",
    "whips": "whips://h/gate?token=t",
}


@pytest.mark.parametrize("scheme", MODULES)
def test_how_an_address_is_written_is_not_taken_for_a_secret(scheme: str) -> None:
    """Messages are masked as a whole, and a way out with *** in it is none."""
    fault = output_fault(f"{scheme}://" if scheme != "file" else "x.avi")
    assert fault is not None
    assert "***" not in redact(fault)
    assert redact(MODULES[scheme].address_form) == MODULES[scheme].address_form


def test_checking_an_address_of_every_kind_and_asking_for_advice_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from nightday.pipeline.outputs.registry import advice, output_fault\n"
        "from nightday.pipeline.outputs.mp4.limits import Limits, retention_fault\n"
        "for scheme, address in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    assert output_fault(address) is None, output_fault(address)\n"
        "    assert advice(scheme, 'stall'), scheme\n"
        "assert output_fault('concat:a')\n"
        "print(*sorted({'av', 'torch', 'cv2', 'numpy'} & set(sys.modules)))\n"
    )
    arguments = [part for pair in GOOD.items() for part in pair]
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_every_module_is_registered_and_tried_here() -> None:
    assert set(registry._MODULES) == set(MODULES) == set(GOOD)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("whip+http://h/gate?token=t", "whip://h/gate?token=t"),
        ("whip+https://h/gate", "whips://h/gate"),
        ("WHIP+HTTPS://h/gate", "whips://h/gate"),
        ("whip https://h/gate", "whips://h/gate"),
        ("whip:http://h/gate", "whip://h/gate"),
        ("whip://h/gate", "whip://h/gate"),
        ("whips://h/whip+http://x", "whips://h/whip+http://x"),
        ("out/whip+http.mp4", "out/whip+http.mp4"),
    ],
)
def test_the_address_of_whip_may_be_written_with_that_of_its_server(written: str, address: str) -> None:
    assert output_url(written).reveal() == address
    assert output_fault(written) is None
    assert OutputConfig.model_validate(written).to.reveal() == address


@pytest.mark.parametrize("scheme", MODULES)
def test_a_module_says_how_its_addresses_are_written(scheme: str) -> None:
    fault = output_fault("concat:a|b")
    assert fault is not None
    assert MODULES[scheme].address_form in fault


def test_a_path_may_be_an_address_without_its_scheme_so_all_ways_are_named() -> None:
    fault = output_fault("10.0.0.5/day")
    assert fault is not None
    for module in MODULES.values():
        assert module.address_form in fault


@pytest.mark.parametrize("reason", [*get_args(FaultReason), *get_args(DiskReason)])
def test_there_is_advice_for_every_reason_that_an_output_can_have(reason: str) -> None:
    """But for those that say too little, and for a decoder's, which no output has."""
    known = [scheme for scheme in MODULES if advice(scheme, reason) is not None]
    assert bool(known) == (reason not in ("failed", "decode", "unsupported"))


def test_no_advice_where_there_is_no_module() -> None:
    assert advice("srt", "refused") is None


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
def test_a_reason_is_what_the_error_carries_or_else_what_its_number_says(
    error: Exception, reason: OutputReason
) -> None:
    assert output_reason(error) == reason
