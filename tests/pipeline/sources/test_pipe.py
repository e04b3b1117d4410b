"""Named pipes that another program writes into."""

from __future__ import annotations

import os
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.sources import registry
from tests.faults.camera import Camera
from tests.support.rtsp_server import CLIP


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "camera.ts"
    os.mkfifo(path)
    return path


def writer(pipe: Path, *options: str) -> subprocess.Popen[bytes]:
    """FFmpeg, which writes the clip at its own pace."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-re", "-i", str(CLIP), "-an", *options, str(pipe)]
    return subprocess.Popen(command)


def test_a_pipe_is_told_from_a_file_without_being_opened(pipe: Path) -> None:
    """To open it would wait until somebody writes."""
    url = CameraUrl(str(pipe))
    assert registry.source_fault(url) is None
    assert (registry.kind_of(url), registry.is_file(url)) == ("pipe", False)
    assert registry.advice(registry.kind_of(url), "timeout") is not None


@pytest.mark.parametrize("form", ["mpegts", "matroska"])
def test_what_is_written_is_shown_and_a_second_writer_is_waited_for(pipe: Path, form: str) -> None:
    with Camera(str(pipe)) as camera:
        for times in (1, 2):
            process = writer(pipe, "-c", "copy", "-f", form, "-t", "1")
            try:
                camera.wait_playing(times)
                camera.wait_state("retrying", reason="end_of_stream", times=times)
            finally:
                process.kill()
                process.wait()
    frames = camera.slot.frames
    assert len(frames) >= 30
    assert all(later.pts > earlier.pts for earlier, later in pairwise(frames))


def test_nobody_writes(pipe: Path) -> None:
    with Camera(str(pipe), open_timeout=0.3) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
        assert (event.reason, event.detail) == ("timeout", "nobody wrote into the pipe for 0.3 s")


def test_waiting_for_a_writer_ends_at_once_when_told_to(pipe: Path) -> None:
    with Camera(str(pipe)) as camera:  # which must end at once
        while camera.reader.event.state != "starting" or not camera.reader.is_alive():
            time.sleep(0.01)


def test_the_writer_falls_silent(pipe: Path) -> None:
    with Camera(str(pipe), stall_timeout=0.5) as camera:
        process = writer(pipe, "-c", "copy", "-f", "mpegts")
        try:
            camera.slot.wait_for(5)
            process.send_signal(19)  # SIGSTOP
            event = camera.events.wait_for(lambda event: event.state == "retrying")
        finally:
            process.kill()
            process.wait()
    assert (event.reason, event.detail) == ("stall", "nobody wrote into the pipe for 0.5 s")
