"""How many more cameras there is room for, against what processors are told to have done."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.status import CameraStatus, Room, room_text
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision import room_watch
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.room_watch import REMEMBERED, RESERVE, WINDOW, RoomWatch, machine_idle
from nightday.pipeline.supervision.runtime import Runtime
from tests.support.clips import make_clip
from tests.support.engines import EngineStub
from tests.support.watched import FakeRun


class Machine:
    """Eight processors and cameras that take what they are told to; time is the test's."""

    def __init__(self, cameras: int) -> None:
        self.run = FakeRun(stats={f"camera{number}": CameraStats() for number in range(cameras)})
        for stats in self.run.stats.values():
            stats.set_up(True)
        self.now, self.used, self.idle, self.busy = 500.0, 3.0, 7.0, 0.0
        self.workers = 8
        self.watch = RoomWatch(processors=8, processor_time=lambda: self.used, idle_time=lambda: self.idle)
        self.look()

    def look(self) -> None:
        self.watch.look(self.run.cameras(), now=self.now, workers=self.workers, busy=self.busy)

    def window(self, *, each: float, others: float = 0.0, work: float = 0.0, lost: int = 0) -> Room | None:
        """A window in which each camera takes so many processors, and other programs some more."""
        assert not self.watch.due(self.now + WINDOW / 2)
        cameras = sum(camera.stats.up for camera in self.run.cameras())
        self.now += WINDOW
        self.used += WINDOW * each * cameras
        self.busy += WINDOW * work * cameras
        self.idle += WINDOW * max(0.0, 8 - each * cameras - others)
        for stats in self.run.stats.values():
            for number in range(100):
                stats.count_decoded()
                if number < lost:
                    stats.count_dropped("overload")
        assert self.watch.due(self.now)
        self.look()
        return self.watch.room


def test_as_many_more_as_the_free_processors_hold() -> None:
    each = random.uniform(0.11, 0.49)
    print(f"each {each}")
    room = Machine(4).window(each=each)
    assert room is not None
    assert room.camera == pytest.approx(each)
    # All but those in use and a reserve.
    assert room.free == pytest.approx(8 * (1 - RESERVE) - 4 * each)
    assert room.more == int(room.free / each)


def test_other_programs_count() -> None:
    room = Machine(4).window(each=0.3, others=5.0)
    assert room is not None
    assert room.more == int((8 - 1.2 - 5.0 - 8 * RESERVE) / 0.3)


def test_by_day_the_cost_of_the_night_counts_for_a_day() -> None:
    machine = Machine(4)
    machine.window(each=1.0)
    by_day = machine.window(each=0.1)
    assert by_day is not None
    # The four that run will take 4.0 again, so 3.2 are left for cameras that take 1.0 each.
    assert by_day.more == 3
    machine.now += REMEMBERED
    machine.watch.skip()
    machine.look()
    later = machine.window(each=0.1)
    assert later is not None
    assert later.camera < 0.2
    assert later.more > 30


def test_workers_that_are_busy_leave_no_room_whatever_the_processors_say() -> None:
    machine = Machine(4)
    machine.workers = 1  # as with a GPU
    room = machine.window(each=0.05, work=0.2)
    assert room is not None
    assert room.more == int((1 - RESERVE - 0.8) / 0.2) == 0
    less = machine.window(each=0.05, work=0.05)
    assert less is not None
    assert less.more == 0  # the dearest time counts
    other = Machine(4)
    other.workers = 1
    light = other.window(each=0.05, work=0.05)
    assert light is not None
    assert light.more == 14


def test_while_frames_are_lost_there_is_no_room() -> None:
    machine = Machine(4)
    room = machine.window(each=0.1, lost=5)
    assert room is not None
    assert (room.more, room.overloaded) == (0, True)
    assert room_text(room) == "This machine can take no more cameras: it loses frames of those that run."
    again = machine.window(each=0.1)
    assert again is not None
    assert again.more > 0


def test_nothing_is_said_before_a_window_without_cameras_or_of_one_that_was_disturbed() -> None:
    assert Machine(4).watch.room is None
    assert Machine(0).window(each=0.1) is None
    machine = Machine(4)
    machine.watch.skip()
    machine.now += WINDOW
    machine.used += 1000.0
    machine.look()
    assert machine.watch.room is None
    room = machine.window(each=0.1)
    assert room is not None
    assert room.camera == pytest.approx(0.1)


def test_workers_that_were_started_again_begin_anew() -> None:
    machine = Machine(4)
    machine.window(each=0.1, work=0.1)
    before = machine.watch.room
    machine.busy = 0.0
    machine.now += WINDOW
    machine.look()
    assert machine.watch.room == before


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (Room(0, 0.5, 0.2, False, 2.0), ("no more cameras", "in the last 2 h", "0.2 processors are free")),
        (Room(1, 0.5, 0.7, False, 0.2), ("one more camera like these", "in the last 12 min", "0.7")),
        (Room(3, 0.5, 1.7, False, 24.0), ("3 more cameras like these", "in the last day", "1.7")),
    ],
)
def test_it_is_said_in_a_sentence(room: Room, said: tuple[str, ...]) -> None:
    text = room_text(room)
    assert text.startswith(f"This machine can take {said[0]}: one has taken up to 0.50 of a processor")
    assert all(words in text for words in said)


def test_a_run_measures_what_its_cameras_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_watch, "WINDOW", 0.5)
    make_clip(tmp_path / "clip.mp4", 20)
    camera = {
        "name": "gate",
        "url": str(tmp_path / "clip.mp4"),
        "model": str(tmp_path / "clip.mp4"),
        "translate": "always",
        "loop": True,
        "outputs": [str(tmp_path / "out-%Y%m%d-%H%M%S.mp4")],
    }
    config = Config.model_validate({"cameras": [camera]})
    commands = CommandQueue()
    runtime = Runtime(Setup(config, {tmp_path / "clip.mp4": EngineStub()}, {}), commands=commands)
    rooms: list[Room] = []

    def report(cameras: Sequence[CameraStatus], seconds: float) -> None:
        if (room := runtime.room()) is not None:
            rooms.append(room)
            commands.put("stop")

    runtime.run(duration=60.0, report=report, report_every=0.1)
    assert 0 < rooms[0].camera < 64
    assert rooms[0].more >= 0
    assert runtime._pool.busy > 0


def test_idle_time_is_read_from_the_system(tmp_path: Path) -> None:
    assert machine_idle(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  100 2000 300 4000 50 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n")
    ticks = machine_idle(tmp_path)
    assert ticks is not None
    # Idle, waiting for disks, and what runs at a lower priority.
    assert ticks * os.sysconf("SC_CLK_TCK") == pytest.approx(6050)
    assert machine_idle() is not None
