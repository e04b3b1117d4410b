"""What is shown while a command works, on a terminal and elsewhere."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from nightday.train import progress
from nightday.train.progress import Steps, showing


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=60), text


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_each_step_is_a_line_and_a_long_one_several() -> None:
    out, text = console(terminal=False)
    clock = Clock()
    with showing(out) as shown:
        steps = Steps(out, shown._bar, clock)
        steps.begin("reading [gate]/a day")
        for done in range(1, 62):
            clock.now += 1
            steps.passed(done, 61)
        steps.begin("others", at_once=False)
        assert [*steps.each("translating", "ab", 2)] == ["a", "b"]
        steps.warn("x is empty")
    assert text.getvalue().splitlines() == [
        "reading [gate]/a day",
        "reading [gate]/a day: 30 of 61",
        "reading [gate]/a day: 60 of 61",
        "translating",
        "warning: x is empty",
    ]


def test_a_step_without_a_count_says_that_it_goes_on() -> None:
    out, text = console(terminal=False)
    clock = Clock()
    with showing(out) as shown:
        steps = Steps(out, shown._bar, clock)
        steps.still()  # nothing has begun
        steps.begin("scoring CLAHE")
        for _ in range(7):
            clock.now += 10
            steps.still()
    assert text.getvalue().splitlines() == [
        "scoring CLAHE",
        "scoring CLAHE: still at it after 30 s",
        "scoring CLAHE: still at it after 60 s",
    ]


def test_a_piped_step_is_told_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a real clock and lines every hundredth of a second."""
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.01)
    told = threading.Event()
    out, text = console(terminal=False)

    def beat(steps: Steps) -> None:
        steps.warn("beat")
        told.set()

    monkeypatch.setattr(Steps, "still", beat)
    with showing(out) as steps:
        steps.begin("scoring")
        assert told.wait(30)
    assert "warning: beat" in text.getvalue()


def test_on_a_terminal_a_line_moves_and_goes() -> None:
    out, text = console(terminal=True)
    clock = Clock()
    with showing(out) as shown:
        steps = Steps(out, shown._bar, clock)
        steps.begin("reading gate")
        clock.now += progress._BAR_EVERY
        steps.passed(7, 9)
        task = shown._bar.tasks[0]
        assert (task.description, task.completed, task.total) == ("reading gate", 7, 9)
        shown._bar.refresh()
        steps.begin("scoring")
        (task,) = shown._bar.tasks
        assert (task.description, task.completed, task.total) == ("scoring", 0, None)
    assert "reading gate" in text.getvalue()
