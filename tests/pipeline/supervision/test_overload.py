"""That overload is said, once, with its cause, and that its end is said as well."""

from __future__ import annotations

import random

import pytest

from nightday.pipeline.core.counters import TOO_SLOW, CameraStats
from nightday.pipeline.core.events import Event, Notice
from nightday.pipeline.supervision.overload import WINDOW, OverloadWatch
from tests.support.watched import FakeRun


class Machine:
    """Cameras of 25 frames a second, of which this machine shows some; time is the test's."""

    def __init__(self, *names: str) -> None:
        self.run = FakeRun(stats={name: CameraStats() for name in names})
        self.told: list[Notice] = []
        self.now = 1000.0
        self.frame_seconds: dict[str, float] = {}
        self.watch = OverloadWatch(self.publish)
        self.look()

    def publish(self, event: Event) -> None:
        assert isinstance(event, Notice)
        self.told.append(event)

    def look(self) -> None:
        assert self.watch.due(self.now)
        self.watch.look(self.run.cameras(), now=self.now, frame_seconds=self.frame_seconds)

    def window(self, *, translated: bool = True, **lost: float) -> None:
        """A window in which each camera named loses such a share of its frames, and the others none."""
        frames = round(25 * WINDOW)
        for name, stats in self.run.stats.items():
            gone = round(lost.get(name, 0.0) * frames)
            for number in range(frames):
                reason = random.choice(TOO_SLOW) if number < gone else None
                if reason != "skipped":
                    stats.count_decoded()
                if reason is None:
                    stats.count_output(translated=translated)
                else:
                    stats.count_dropped(reason)
        assert not self.watch.due(self.now + WINDOW / 2)
        self.now += WINDOW
        self.look()

    @property
    def names(self) -> list[str]:
        return [notice.name for notice in self.told]


def test_one_warning_names_the_cameras_the_cause_and_the_way_out() -> None:
    machine = Machine("gate", "yard", "hall")
    machine.frame_seconds = {"gate": 0.24, "yard": 0.2, "hall": 0.01}
    machine.window()
    assert machine.told == []
    machine.window(gate=0.8, yard=0.6)
    machine.window(gate=0.8, yard=0.6, hall=0.5)
    (notice,) = machine.told
    assert (notice.name, notice.level, notice.camera) == ("overload", "warning", None)
    assert notice.detail == (
        "this machine is too slow for its cameras: gate shows 5.0 of 25.0 frames a second, yard shows 10.0 of 25.0 "
        "frames a second; translating a frame takes 240 ms. What helps: a smaller stream of the camera, fewer frames "
        "a second, or a lighter model"
    )


def test_its_end_is_said_and_the_next_time_it_is_said_again() -> None:
    machine = Machine("gate")
    for lost in (0.5, 0.1, 0.04, 0.1, 0.5):
        machine.window(gate=lost)
    assert machine.names == ["overload", "overload_over", "overload"]


def test_where_nothing_is_translated_the_processor_is_the_cause() -> None:
    machine = Machine(*(f"camera-{number}" for number in range(5)))
    machine.frame_seconds = {"camera-0": 0.5}
    machine.window(translated=False, **{f"camera-{number}": 0.5 for number in range(5)})
    (notice,) = machine.told
    assert "2 more cameras lose frames; decoding and encoding take all of the processor" in notice.detail


@pytest.mark.parametrize("translated", [True, False])
def test_detection_is_named_where_there_is_any(translated: bool) -> None:
    machine = Machine("gate", "yard")
    machine.run.stats["gate"].found.begin([], tracks=False)
    machine.frame_seconds = {"gate": 0.03}
    machine.window(translated=translated, gate=0.5)
    (notice,) = machine.told
    assert ("decoding, detection and encoding take all" in notice.detail) is not translated
    assert "What helps: `detect: {every: 3}`, " in notice.detail


@pytest.mark.parametrize("reason", ["backlog", "output_slow", "decode_error"])
def test_other_losses_are_no_overload(reason: str) -> None:
    machine = Machine("gate")
    for _ in range(500):
        machine.run.stats["gate"].count_decoded()
        machine.run.stats["gate"].count_dropped(reason)  # type: ignore[arg-type]
    machine.now += WINDOW
    machine.look()
    assert machine.told == []


def test_cameras_that_come_and_go_meanwhile() -> None:
    machine = Machine("gate")
    machine.window()
    machine.run.stats = {"yard": CameraStats()}
    machine.window(yard=0.9)  # it has not been there for the whole window
    machine.window(yard=0.9)
    assert machine.names == ["overload"]
