"""Kinds of source: which module serves an address, what is wrong with one, and that checking it is cheap."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.faults import FaultReason
from nightday.pipeline.media.ffmpeg import reads_protocol
from nightday.pipeline.sources import connection, file, network, registry
from nightday.pipeline.sources.base import ConnectionSettings, SourceLostError
from tests.support.connections import connection_settings
from tests.support.rtsp_server import CLIP

WAYS = "use rtsp://, rtsps://, http(s)://, rtmp(s)://, the path of a file or a pipe, or device:0"
NO_CAMERA = "is no camera; ls /dev/v4l/by-id/ shows those that are plugged in"


def settings() -> ConnectionSettings:
    return connection_settings(timeout=1.0)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("rtsp://10.0.0.5/stream1", None),
        ("https://10.0.0.5:8443/live.m3u8", None),
        ("device:0", None),
        (str(CLIP), None),
        ("rtsp:///stream1", f"has no host; {WAYS}"),
        ("rtsp://viewer:Zk9q7Wx2@", f"has no host; {WAYS}"),
        ("rtsp://viewer:Zk9q7Wx2@/stream1", f"has no host; {WAYS}"),
        ("rtsp://viewer:Zk9q7Wx2@:554/stream1", f"has no host; {WAYS}"),
        ("rtsp://viewer:a@/b@10.0.0.5/stream1", None),
        (
            "rtmp://10.0.0.5:99999/live/key",
            "has no usable port after the host; give a number from 1 to 65535, or leave it out with its colon",
        ),
        ("device:front", "must be device: and a number (e.g. device:0) or a path (e.g. /dev/v4l/by-id/…)"),
        ("device:/dev/video7", None),
        ("/dev/video7", None),
        ("/dev/v4l/by-id/usb-046d_C920-video-index0", None),
        ("file:///dev/video7", None),
        ("/dev/null", NO_CAMERA),
        ("device:/dev/zero", NO_CAMERA),
        ("/dev/vdieo0", "no such file"),
        (
            "srt://10.0.0.5:9000",
            "needs SRT, which PyAV's ready-made package lacks; let a server such as mediamtx or go2rtc take the "
            "stream in and name its rtsp:// address here, or build PyAV against an FFmpeg with libsrt (pip install "
            "--no-binary av av)",
        ),
        (
            "rtps://h/x",
            f"rtps: is no kind of camera here; {WAYS} (./ before a file's name with a colon in it)",
        ),
        ("nowhere.mp4", "no such file"),
        (str(CLIP.parent), "is a folder, not a file"),
    ],
)
def test_what_is_wrong_with_an_address(address: str, fault: str | None) -> None:
    assert registry.source_fault(CameraUrl(address)) == fault


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert registry.source_fault(CameraUrl(str(CLIP))) == "cannot be read: Permission denied"


def test_checking_an_address_loads_no_decoder() -> None:
    """Of ``nightday.engines`` only the modules that are named are loaded, not what the package offers."""
    code = (
        "import importlib.util, sys, types\n"
        "spec = importlib.util.find_spec('nightday.engines')\n"
        "sys.modules['nightday.engines'] = package = types.ModuleType('nightday.engines')\n"
        "package.__path__ = spec.submodule_search_locations\n"
        "from nightday.pipeline.core.camera_url import CameraUrl\n"
        "from nightday.pipeline.sources.registry import advice, source_fault\n"
        "for text in ('rtsp://10.0.0.5/x', 'device:0', 'nowhere.mp4'):\n"
        "    source_fault(CameraUrl(text)), advice(CameraUrl(text).scheme, 'decode')\n"
        "print([name for name in ('av', 'cv2', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("scheme", registry.MODULES)
def test_advice_is_there_for_known_reasons_and_none_for_others(scheme: str) -> None:
    assert registry.advice(scheme, "decode")
    assert registry.advice(scheme, "not_found")
    assert registry.advice(scheme, "failed") is None
    assert registry.advice(scheme, None) is None
    if registry.MODULES[scheme] == "network":
        assert all(registry.advice(scheme, reason) for reason in get_args(FaultReason) if reason != "failed")


@pytest.mark.parametrize(
    ("address", "opened", "container_format", "options"),
    [
        (
            "rtsp://viewer:p@ss@10.0.0.5/s",
            "rtsp://viewer:p%40ss@10.0.0.5/s",
            None,
            {
                "fpsprobesize": "0",
                "protocol_whitelist": "rtsp,rtp,tcp,udp",
                "rtsp_transport": "tcp",
                "allowed_media_types": "video",
            },
        ),
        (
            "srt://10.0.0.5:9000",
            "srt://10.0.0.5:9000",
            None,
            {"fpsprobesize": "0", "protocol_whitelist": "srt"},
        ),
        ("device:2", "/dev/video2", "video4linux2", None),
        ("/dev/video2", "/dev/video2", "video4linux2", None),
        ("/dev/v4l/by-id/usb-cam", "/dev/v4l/by-id/usb-cam", "video4linux2", None),
        ("clip.mp4", "file:clip.mp4", None, {"protocol_whitelist": "file"}),
    ],
)
def test_each_kind_may_open_what_it_needs_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    opened: str,
    container_format: str | None,
    options: dict[str, str] | None,
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def open_input(address: str, **given: Any) -> None:
        asked.append((address, given))
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(connection, "open_input", open_input)
    with (
        pytest.raises(SourceLostError, match="Connection refused") as lost,
        registry.open_source(CameraUrl(address), settings()),
    ):
        pass
    assert lost.value.reason == "refused"
    ((shown, given),) = asked
    assert shown == opened
    assert (given["container_format"], given["options"]) == (container_format, options)


def test_a_connection_gives_frames_their_time_base_and_their_rate() -> None:
    with registry.open_source(CameraUrl(str(CLIP)), settings()) as source:
        first = next(source.frames()).video
        assert first.pts == 0
        assert source.frame_seconds == pytest.approx(0.04)
        assert first.time_base == source.time_base
        assert (first.height, first.width) == file.picture_size(CameraUrl(str(CLIP)))


def test_a_camera_of_this_machine_is_known_by_its_device_number_wherever_its_name_is(tmp_path: Path) -> None:
    node, name = tmp_path / "node", tmp_path / "front-door"
    try:
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(81, 0))
    except PermissionError:
        pytest.skip("it takes root to make a device")
    name.symlink_to(node)
    for path in (node, name):
        url = CameraUrl(str(path))
        assert (registry.kind_of(url), registry.is_file(url), registry.source_fault(url)) == (
            "device",
            False,
            None,
        )
        with pytest.raises(SourceLostError), registry.open_source(url, settings()):
            pass
    assert registry.advice("device", "not_found") is not None


def test_a_device_that_this_user_may_not_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "major", lambda _: 81)
    fault = registry.source_fault(CameraUrl("/dev/null"))
    assert fault == "may not be opened by this user; add the user to the group video"


def test_what_is_wrong_with_srt_is_asked_of_pyav_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reads_protocol("rtsp")
    assert reads_protocol("rtmp")
    assert not reads_protocol("nothing")
    monkeypatch.setattr(network, "reads_srt", lambda: True)
    assert registry.source_fault(CameraUrl("srt://10.0.0.5:9000")) is None
