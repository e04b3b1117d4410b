"""What is said of a camera's sound: once for each output that does not take it, and for as long as it does not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.config.schema import CameraConfig
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.events import Notice
from nightday.pipeline.monitoring.api import camera_json
from nightday.pipeline.supervision.camera import Camera
from nightday.pipeline.supervision.commands import CommandQueue
from tests.support.heard import flashing
from tests.support.media_helpers import Events
from tests.support.rtsp_server import WAIT


def run(source: Path, folder: Path, **settings: Any) -> tuple[dict[str, Any], list[Notice]]:
    """What a camera says of itself at its end, and what it told of its sound."""
    events = Events()
    config = CameraConfig.model_validate(
        {
            "name": "gate",
            "url": str(source),
            "translate": "never",
            "outputs": [
                str(folder / "%H%M%S.mp4"),
                "udp://127.0.0.1:9",
                "rtsp://user:hunter2@127.0.0.1:9/day",
            ],
            **settings,
        }
    )
    camera = Camera(
        config,
        engine=None,
        detector=None,
        ready=threading.Condition(),
        commands=CommandQueue(),
        publish=events,
        clock=SystemClock(),
    )
    camera.start()
    camera.reader.join(WAIT)
    told = camera_json(camera.status())
    camera.finish_outputs()
    assert camera.join(SystemClock().monotonic() + WAIT)
    return told, [one for one in events if isinstance(one, Notice) and one.name == "sound_dropped"]


@pytest.mark.parametrize(("codec", "passed"), [("pcm_alaw", {2}), ("aac", {0, 1, 2}), ("mp2", {1})])
def test_each_output_that_takes_no_sound_says_so_once(tmp_path: Path, codec: str, passed: set[int]) -> None:
    source = flashing(tmp_path / "source.mov", codec, seconds=2)
    told, notices = run(source, tmp_path, audio=True, loop=False)
    assert told["sound"] == codec
    containers = ("MP4", "MPEG-TS", "RTSP")
    for number, (output, container) in enumerate(zip(told["outputs"], containers, strict=True)):
        if number in passed:
            assert (output["sound"], output["sound_note"]) == (codec, None)
        else:
            assert output["sound"] is None
            note = f"{container} does not hold sound of the codec {codec}; let the camera send AAC"
            assert output["sound_note"].startswith(note)
    assert [notice.level for notice in notices] == ["warning"] * (3 - len(passed))
    assert {notice.camera for notice in notices} <= {"gate"}
    assert not any("hunter2" in notice.detail for notice in notices)


def test_where_none_is_wanted_nothing_is_said(tmp_path: Path) -> None:
    source = flashing(tmp_path / "source.mp4", "aac", seconds=1)
    told, notices = run(source, tmp_path)
    assert (told["sound"], notices) == (None, [])
    assert {(output["sound"], output["sound_note"]) for output in told["outputs"]} == {(None, None)}
