"""The status line, for people and for machines."""

from __future__ import annotations

import io
import json
from typing import Any, get_args

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import DropReason, StatsSnapshot
from nightday.pipeline.core.events import OutputChanged
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.monitoring.api import camera_json, state_json
from nightday.pipeline.monitoring.log_stream import Screen
from nightday.pipeline.monitoring.status_text import DROPPED, StatusLine, status_text, summary_text


def camera(name: str = "gate", *, pictures: int = 0, **fields: Any) -> CameraStatus:
    stats: dict[str, Any] = {"up": True, "decoded": pictures, "translated": pictures, "passed": 0}
    stats |= {"dropped": {}, "reconnects": {}, "detections": {}, "collected": {}}
    stats |= {"latency_p50": 0.02, "latency_p95": 0.041, "latency": {}}
    stats |= fields.pop("stats", {})
    values: dict[str, Any] = {
        "state": "playing",
        "reason": None,
        "night": True,
        "outputs_in_trouble": (),
    } | fields
    return CameraStatus(name=name, stats=StatsSnapshot(**stats), **values)


def test_one_camera() -> None:
    assert (
        status_text([camera()], rates={"gate": 24.96}, seconds=75.2) == "01:15 │ gate 25.0 fps, 41 ms, night"
    )
    lossy = camera(night=None, stats={"dropped": {"overload": 7, "decode_error": 2}})
    assert (
        status_text([lossy], rates={"gate": 9.0}, seconds=3600)
        == "60:00 │ gate 9.0 fps, 41 ms, 9 dropped (this machine is too slow)"
    )
    late = camera(
        night=None, pictures=200, stats={"latency_p95": 0.93, "dropped": {"overload": 7, "decode_error": 40}}
    )
    assert (
        status_text([late], rates={"gate": 9.0}, seconds=1)
        == "00:01 │ gate 9.0 fps, 0.9 s behind, 47 dropped"
    )


def test_of_many_those_in_trouble_come_first() -> None:
    cameras = [camera(f"c{index}") for index in range(8)]
    cameras += [
        camera("dock", state="retrying", reason="refused", stats={"up": False}),
        camera("yard", outputs_in_trouble=("rtsp://h/yard (timeout)",)),
    ]
    text = status_text(cameras, rates={status.name: 25.0 * status.stats.up for status in cameras}, seconds=5)
    total, first, second, third, *_ = text.split(" │ ")[1:]
    assert total == "9/10 up 225 fps"
    assert first == "dock retrying (refused)"
    assert second == "yard 25.0 fps, 41 ms, night, output rtsp://h/yard (timeout)"
    assert third.startswith("c0 ")


def test_the_last_words_tell_who_was_away() -> None:
    cameras = [camera(pictures=5, state="stopped"), camera("dock", state="stopped", reason="refused")]
    gate, dock = summary_text(cameras, []).splitlines()
    assert "stopped" not in gate
    assert dock.endswith("stopped (refused)")
    assert "none dropped" in gate


def test_the_last_words_tell_what_became_of_dropped_frames() -> None:
    lossy = camera(pictures=5, stats={"dropped": {"output_failed": 3, "skipped": 145}})
    (text,) = summary_text([lossy], []).splitlines()
    assert text.endswith(
        "; dropped 148: 145 were not decoded, since this machine could not have taken them, "
        "3 came while an output was away"
    )
    assert set(DROPPED) == set(get_args(DropReason))


def test_rates_are_those_since_the_last_report() -> None:
    stream = io.StringIO()
    screen = Screen(stream, log_format="json")
    line = StatusLine(screen)
    for seconds, pictures in ((10.0, 100), (20.0, 350), (20.0, 350)):
        line.report([camera(pictures=pictures)], seconds=seconds)
    assert screen.flush()
    events = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [event["cameras"]["gate"]["fps"] for event in events] == [10.0, 25.0, 0.0]
    assert events[0]["cameras"]["gate"]["latency_p95_ms"] == 41.0
    assert {event["event"] for event in events} == {"status"}


def test_an_entry_says_what_a_camera_is_and_where_it_goes() -> None:
    url = CameraUrl("rtsp://viewer:Zk9q7Wx2@10.0.0.5/day")
    outputs = (
        OutputChanged(camera="gate", output="out/gate.mp4", state="writing"),
        OutputChanged(
            camera="gate",
            output=str(url),
            state="retrying",
            reason="refused",
            detail=f"Connection refused: {url.reveal()}",
        ),
    )
    entry = camera_json(
        camera(
            pictures=7,
            translate="always",
            outputs=outputs,
            outputs_in_trouble=(f"{url.reveal()} (refused)",),
            sound="aac",
            silent={str(url): "sound does not go along with rtsp outputs"},
        )
    )
    assert (entry["name"], entry["translate"], entry["translated"]) == ("gate", "always", 7)
    assert entry["outputs_in_trouble"] == ["rtsp://***@10.0.0.5/day (refused)"]
    assert entry["outputs"] == [
        {
            "output": "out/gate.mp4",
            "state": "writing",
            "reason": None,
            "detail": "",
            "advice": "",
            "sound": "aac",
            "sound_note": None,
        },
        {
            "output": "rtsp://***@10.0.0.5/day",
            "state": "retrying",
            "reason": "refused",
            "detail": "Connection refused: rtsp://***@10.0.0.5/day",
            "advice": "Nothing accepts connections there. Is the server on, and are address and port right?",
            "sound": None,
            "sound_note": "sound does not go along with rtsp outputs",
        },
    ]


def test_the_next_try_is_told_in_seconds() -> None:
    waiting = camera(state="retrying", reason="refused", next_try=3.14)
    assert state_json(waiting)["next_try_s"] == 3.1
    assert state_json(camera())["next_try_s"] is None
