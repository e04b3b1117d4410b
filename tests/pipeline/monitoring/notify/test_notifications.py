"""The sinks of a run: made, kept and ended as the configuration says, and through the whole program."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.events import EventBus, Notice
from nightday.pipeline.monitoring.notify.notifications import Notifications
from nightday.pipeline.monitoring.notify.spool import Spool
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.runtime import Runtime
from tests.pipeline.monitoring.notify.spooled import until
from tests.support.clips import make_clip
from tests.support.http_receiver import Receiver
from tests.support.media_helpers import Events
from tests.support.rtsp_server import WAIT
from tests.support.watched import FakeRun


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path


def config(**sections: Any) -> Config:
    camera = {"name": "gate", "url": "rtsp://10.0.0.5/s", "translate": "never"}
    return Config.model_validate({"cameras": [camera], **sections})


class Telling:
    """What is told to the outside, on a bus of its own."""

    def __init__(self) -> None:
        self.told = Events()
        self.bus = EventBus(self.told)
        self.notifications = Notifications(FakeRun(), publish=self.bus.publish, clock=SystemClock())
        self.bus.subscribe(self.notifications.note)

    def happen(self, *details: object) -> None:
        for detail in details:
            self.bus.publish(Notice(name="reloaded", detail=str(detail)))

    def close(self) -> None:
        self.notifications.close(WAIT)


def lines(path: str = "events.jsonl") -> list[str]:
    return [
        told["message"]
        for told in map(json.loads, Path(path).read_text().splitlines())
        if told["event"] == "reloaded"
    ]


def posted(receiver: Receiver) -> list[str]:
    return [
        told["message"]
        for told in (json.loads(post.body) for post in receiver.posts)
        if told["event"] == "reloaded"
    ]


def test_without_sections_there_are_no_threads_and_no_files(folder: Path) -> None:
    before = threading.active_count()
    telling = Telling()
    telling.notifications.serve(config())
    telling.happen("a")
    assert threading.active_count() == before
    telling.close()
    assert list(folder.iterdir()) == []


def test_every_sink_gets_every_event_also_those_before_it_began(receiver: Receiver) -> None:
    telling = Telling()
    telling.happen("early")
    telling.notifications.serve(config(events={"file": "events.jsonl"}, webhooks=[{"url": receiver.url()}]))
    telling.happen(*range(20))
    telling.close()
    assert lines() == posted(receiver) == ["early", *map(str, range(20))]
    assert Path("state/nightday-stream/events.sqlite").stat().st_mode & 0o77 == 0


def test_what_waits_goes_out_at_the_next_start(receiver: Receiver) -> None:
    sections = {"webhooks": [{"url": receiver.url()}]}
    receiver.answer = lambda _: (503, {})
    telling = Telling()
    telling.notifications.serve(config(**sections))
    telling.happen("a", "b")
    receiver.wait_for(1)
    telling.close()
    receiver.answer = lambda _: (204, {})
    receiver.posts.clear()
    telling = Telling()
    telling.notifications.serve(config(**sections))
    telling.happen("c")
    telling.close()
    assert posted(receiver) == ["a", "b", "c"]


def test_a_reload_touches_only_the_sinks_that_changed(receiver: Receiver) -> None:
    telling = Telling()
    webhooks = [{"url": receiver.url("/a")}, {"url": receiver.url("/b")}]
    telling.notifications.serve(config(webhooks=webhooks))
    first, second = telling.notifications.sinks
    telling.happen("one")
    until(lambda: len(posted(receiver)) == 2)
    # The second has a secret now, the third is new.
    webhooks = [webhooks[0], webhooks[1] | {"secret": "x" * 16}, {"url": receiver.url("/c")}]
    telling.notifications.serve(config(webhooks=webhooks))
    assert telling.notifications.sinks[0] is first
    assert not second.is_alive()
    telling.happen("two")
    until(lambda: len(posted(receiver)) == 5)
    telling.notifications.serve(config(webhooks=webhooks[2:]))
    telling.happen("three")
    until(lambda: len(posted(receiver)) == 6)
    telling.notifications.serve(config())
    assert telling.notifications.sinks == []
    telling.happen("four")
    telling.close()
    by_path = {
        path: [json.loads(p.body)["message"] for p in receiver.posts if p.path == path]
        for path in ("/a", "/b", "/c")
    }
    assert by_path == {"/a": ["one", "two"], "/b": ["one", "two"], "/c": ["two", "three"]}
    assert all(
        ("webhook-signature" in post.headers) == (post.path == "/b" and b"two" in post.body)
        for post in receiver.posts
    )


def test_a_sink_that_comes_later_gets_what_happens_from_then_on(receiver: Receiver) -> None:
    telling = Telling()
    telling.notifications.serve(config(webhooks=[{"url": receiver.url()}]))
    telling.happen("one")
    until(lambda: posted(receiver) == ["one"])
    telling.notifications.serve(config(webhooks=[{"url": receiver.url()}], events={"file": "events.jsonl"}))
    telling.happen("two")
    telling.close()
    assert (posted(receiver), lines()) == (["one", "two"], ["two"])


def test_another_spool_is_taken_at_a_reload() -> None:
    telling = Telling()
    for number in range(3):
        events = {"file": "events.jsonl", "spool": f"spool-{number}.sqlite"}
        telling.notifications.serve(config(events=events))
        telling.happen(number)
        until(lambda: Path("events.jsonl").exists() and len(lines()) == number + 1)  # noqa: B023 - called at once
    telling.close()
    assert lines() == ["0", "1", "2"]
    for number in range(3):
        assert Path(f"spool-{number}.sqlite").exists()


def test_two_programs_with_one_spool_are_told_and_both_send() -> None:
    other = Spool(Path("spool.sqlite"))
    telling = Telling()
    telling.notifications.serve(config(events={"file": "events.jsonl", "spool": "spool.sqlite"}))
    telling.happen("a")
    telling.close()
    assert lines() == ["a"]
    (notice,) = [one for one in telling.told if one.name == "events_not_kept"]
    assert notice.detail == (
        "another nightday-stream uses spool.sqlite, so events that wait are lost at the end; "
        "give one of the two another `spool:` below `events:`"
    )
    other.close()


def test_a_damaged_spool_is_put_aside_and_told() -> None:
    Path("spool.sqlite").write_bytes(b"no database" * 1000)
    telling = Telling()
    telling.notifications.serve(config(events={"file": "events.jsonl", "spool": "spool.sqlite"}))
    telling.happen("a")
    telling.close()
    assert lines() == ["a"]
    assert Path("spool.sqlite.damaged").read_bytes().startswith(b"no database")
    (notice,) = [one for one in telling.told if one.name == "events_not_kept"]
    assert notice.detail.startswith("spool.sqlite was damaged (file is not a database) and is put aside as ")


def test_a_spool_that_cannot_be_made_is_told_and_events_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **rest: refuse() if path != ":memory:" else connect(path, **rest)
    )
    telling = Telling()
    telling.notifications.serve(config(events={"file": "events.jsonl", "spool": "spool.sqlite"}))
    telling.happen("a")
    telling.close()
    assert lines() == ["a"]
    (notice,) = [one for one in telling.told if one.name == "events_not_kept"]
    assert "spool.sqlite cannot be used (unable to open database file)" in notice.detail


def test_a_web_server_that_hangs_does_not_keep_the_program_from_ending(receiver: Receiver) -> None:
    release, asked = threading.Event(), threading.Event()

    def hang(_: object) -> tuple[int, dict[str, str]]:
        asked.set()
        release.wait(WAIT)
        return 204, {}

    receiver.answer = hang
    clock = SystemClock()
    telling = Telling()
    telling.notifications.serve(config(webhooks=[{"url": receiver.url()}]))
    telling.happen("a")
    assert asked.wait(WAIT)
    before = clock.monotonic()
    telling.notifications.close(0.2)
    assert clock.monotonic() - before < 5  # a server is given 10 s otherwise
    release.set()


def test_the_whole_program_tells_of_its_cameras_and_a_reload_adds_a_sink(receiver: Receiver) -> None:
    make_clip(Path("day.mp4"), 200)
    camera = {"name": "gate", "url": "day.mp4", "translate": "never", "loop": True, "outputs": ["out.mp4"]}
    sections: dict[str, Any] = {"events": {"file": "events.jsonl"}}
    first = Config.model_validate({"cameras": [camera], **sections})
    second = Config.model_validate({"cameras": [camera], **sections, "webhooks": [{"url": receiver.url()}]})
    commands = CommandQueue()
    runtime = Runtime(Setup(first, {}, {}), reload=lambda: Setup(second, {}, {}), commands=commands)
    thread = threading.Thread(target=lambda: runtime.run(duration=None, report=None, report_every=1.0))
    thread.start()

    def told() -> list[dict[str, Any]]:
        path = Path("events.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    until(lambda: any(one["event"] == "output_writing" for one in told()))
    commands.put("reload")
    receiver.wait_for(1)
    commands.put("stop")
    thread.join(WAIT)
    assert not thread.is_alive()
    names = [one["event"] for one in told()]
    for name in ("camera_playing", "output_writing", "reloaded", "camera_stopped", "output_closed"):
        assert name in names
    assert [one["number"] for one in told()] == list(range(1, len(names) + 1))
    assert len({one["id"] for one in told()}) == len(names)
    playing = next(one for one in told() if one["event"] == "camera_playing")
    assert (playing["camera"], playing["source"], playing["level"]) == ("gate", "day.mp4", "info")
    posted_names = [json.loads(post.body)["event"] for post in receiver.posts]
    assert posted_names == names[-len(posted_names) :]
    assert posted_names[-1] == names[-1]
