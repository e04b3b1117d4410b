"""How the main thread is woken: by the cameras, and by signals."""

from __future__ import annotations

import os
import queue
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal, NoReturn

Command = Literal["stop", "reload", "renew", "reloaded", "engine_built", "ended", "probation_ended"]
"""``stop`` and ``reload`` are asked for from outside, ``renew`` by what learns: to put own models behind the cameras.
The others tell that something has come to its end: reading the configuration, building an engine, a source, the
probation of an engine."""


class CommandQueue:
    """What the main thread waits on. ``SimpleQueue.put`` is safe in a signal handler, ``Event.set`` is not."""

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def put(self, command: Command) -> None:
        """Wake the main thread."""
        self._commands.put(command)

    def get(self, seconds: float) -> Command | None:
        """The next command, or None if none comes within ``seconds``."""
        try:
            return self._commands.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            return None


@contextmanager
def hangups(commands: CommandQueue) -> Iterator[None]:
    """While inside, SIGHUP puts ``"reload"`` into the queue; by default it would end the process."""
    if not hasattr(signal, "SIGHUP"):  # on Windows
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: commands.put("reload"))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def signals(commands: CommandQueue) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM put ``"stop"`` into the queue; a second one ends the process at once."""
    count = 0

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            _exit_now(number)
        commands.put("stop")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_now(number: int) -> NoReturn:
    with suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:  # else nobody reads it, and it would wait
            os.write(2, f"\nsecond {signal.Signals(number).name}: ending at once\n".encode())
    os._exit(1)
