"""What a command is doing while it has nothing to print yet: a moving line on a terminal, lines of text elsewhere.

It goes to standard error; results go to standard output.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

T = TypeVar("T")

# Seconds between two lines about the same thing where there is no terminal, and between two looks of a bar on one.
_LINE_EVERY, _BAR_EVERY = 30.0, 0.2


class Steps:
    """Says what is being done, step after step; made by ``showing``."""

    def __init__(self, console: Console, bar: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._bar, self._clock = console, bar, clock
        self._task: TaskID | None = None
        self._what = ""
        self._told = self._began = clock()

    def begin(self, what: str, *, at_once: bool = True) -> None:
        """Something else is being done now, for instance "reading gate/day".

        Args:
            what: it.
            at_once: say so even if it is done within moments.
        """
        self._what, self._told = what, self._clock()
        self._began = self._told
        if self._console.is_terminal:
            # A new task: rich cannot take a task's total away.
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=None)
        elif at_once:
            self._say(what)

    def passed(self, done: int, of: int) -> None:
        """How far it is. May be called often."""
        now = self._clock()
        if now - self._told < (_BAR_EVERY if self._console.is_terminal else _LINE_EVERY):
            return
        self._told = now
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=of)
        else:
            self._say(f"{self._what}: {done} of {of}")

    def each(self, what: str, things: Iterable[T], count: int) -> Iterator[T]:
        """``begin``, and the things while telling how many of them have been passed."""
        self.begin(what)
        for done, thing in enumerate(things):
            self.passed(done, count)
            yield thing

    def still(self) -> None:
        """Say that it goes on, where nothing has been said of it for a while. Any thread may call it."""
        now = self._clock()
        if self._what and now - self._told >= _LINE_EVERY:
            self._told = now
            self._say(f"{self._what}: still at it after {now - self._began:.0f} s")

    def warn(self, text: str) -> None:
        """Something that was found on the way; it stays on the screen."""
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def showing(console: Console | None = None) -> Iterator[Steps]:
    """Show progress on standard error, or on ``console``, until the block ends."""
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        steps = Steps(console, bar)
        if console.is_terminal:
            yield steps
            return
        # Lines come even from a step that has no count, so that a log shows that it is alive.
        ended = threading.Event()
        pulse = threading.Thread(target=_pulse, args=(steps, ended), daemon=True, name="progress")
        pulse.start()
        try:
            yield steps
        finally:
            ended.set()
            pulse.join()


def _pulse(steps: Steps, ended: threading.Event) -> None:
    while not ended.wait(_LINE_EVERY / 10):
        steps.still()
