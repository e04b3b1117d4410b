"""The program's log and its status line, on one stream, as text or as JSON, without secrets."""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from types import TracebackType
from typing import Literal, TextIO

from ..core.camera_url import redact

LogFormat = Literal["text", "json"]

# Characters that may wait to be written.
MOST_WAITING = 1_000_000
# Seconds that writing what waits may take at the end.
FLUSH_WITHIN = 1.0

_FIELDS = (
    *("camera", "cameras", "output", "reason"),
    *("zone", "counts", "line", "direction", "track", "label"),
)


class Screen:
    """A stream for lines. On a terminal it has a status line at the bottom, which is replaced each time.

    In JSON every line is an object with ``time`` (ISO 8601, UTC), ``level``, ``event``, and ``message`` or the
    event's own keys. Secrets are masked. In text, characters that cannot be printed are replaced, because text from
    a server may hold control codes for the terminal.

    A thread of its own writes, so a stream that nobody reads holds nobody up. The lines that wait are bounded; how
    many were dropped is said with the next line there is room for. A stream that is gone (a closed pipe) is no
    error.
    """

    def __init__(self, stream: TextIO, *, log_format: LogFormat = "text") -> None:
        self._stream = stream
        self.log_format = log_format
        self.is_terminal = log_format == "text" and stream.isatty()
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._length = 0  # characters that wait
        self._dropped = 0  # lines since the last that was taken
        self._writer: threading.Thread | None = None
        self._status = ""

    def line(self, text: str) -> None:
        """Write a line of text above the status line."""
        shown = _printable(redact(text))
        self._write(lambda: f"{self._clear()}{shown}\n{self._status}")

    def event(self, event: str, values: Mapping[str, object], *, level: str = "info") -> None:
        """Write a JSON line."""
        text = _json(event, values, level)
        self._write(lambda: text)

    def status(self, text: str) -> None:
        """Replace the status line of a terminal, cut to its width; elsewhere write a line."""
        if not self.is_terminal:
            self.line(text)
            return
        width = shutil.get_terminal_size().columns - 1
        shown = _printable(redact(text))
        shown = shown if len(shown) <= width else f"{shown[: width - 1]}…"

        def replaced() -> str:
            cleared = self._clear()
            self._status = shown
            return cleared + shown

        self._write(replaced)

    def raw(self, text: str) -> None:
        """Write text as it is, with its secrets masked."""
        shown = redact(text)
        self._write(lambda: shown)

    def flush(self, within: float = FLUSH_WITHIN) -> bool:
        """Wait until all lines are out, for at most ``within`` seconds; whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, within)

    def close(self) -> bool:
        """Take the status line away and ``flush``."""

        def cleared() -> str:
            text = self._clear()
            self._status = ""
            return text

        self._write(cleared)
        return self.flush()

    def _clear(self) -> str:
        return "\r\x1b[K" if self._status else ""

    def _write(self, make: Callable[[], str]) -> None:
        with self._changed:
            text = make()
            if self._waiting and self._length + len(text) > MOST_WAITING:
                self._dropped += 1
                return
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                text = self._told(dropped) + text
            self._waiting.append(text)
            self._length += len(text)
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, name="log", daemon=True)
                self._writer.start()
            self._changed.notify_all()

    def _told(self, dropped: int) -> str:
        message = f"{dropped} lines dropped: nobody read the log in time"
        if self.log_format == "json":
            return _json("log_dropped", {"message": message, "lines": dropped}, "warning")
        return f"{self._clear()}{_stamped(time.time(), 'warning', message)}\n"

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                text = self._waiting[0]
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                pass
            with self._changed:
                self._waiting.popleft()
                self._length -= len(text)
                self._changed.notify_all()


class _Handler(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        message = " ".join(record.getMessage().split())
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            message += f": {type(error).__name__}: {' '.join(str(error).split())}"
        if self._screen.log_format == "json":
            values: dict[str, object] = {"message": message, "logger": record.name}
            values |= {key: getattr(record, key) for key in _FIELDS if getattr(record, key, None) is not None}
            event = str(getattr(record, "event", "log"))
            self._screen.event(event, values, level=record.levelname.lower())
        else:
            self._screen.line(_stamped(record.created, record.levelname.lower(), message))


def set_up_logging(screen: Screen, *, verbose: bool = False) -> None:
    """Send all log records, warnings and uncaught exceptions to ``screen``, a line each.

    With ``verbose`` FFmpeg's own messages are logged, too, with their secrets masked. They are off otherwise,
    because they name no camera, and each costs a call into Python from FFmpeg's threads.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
    root.addHandler(_Handler(screen))
    root.setLevel(logging.WARNING)
    logging.getLogger("nightday").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(True)
    # PyAV, which takes long to import, is silent at first.
    if verbose or "av" in sys.modules:
        import av.logging

        av.logging.set_level(av.logging.WARNING if verbose else None)
    threading.excepthook = _log_thread_death
    sys.excepthook = partial(_tell_end, screen)


def _log_thread_death(args: threading.ExceptHookArgs) -> None:
    name = args.thread.name if args.thread else "a thread"
    text = f"{args.exc_type.__name__}: {args.exc_value}"
    logging.getLogger("nightday").error("%s died: %s", name, text, extra={"event": "thread_died"})


def _tell_end(
    screen: Screen, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an exception that nobody caught, as Python does, with its secrets masked."""
    if not issubclass(kind, KeyboardInterrupt):
        text = "ended by a fault of its own: %s: %s"
        logging.getLogger("nightday").critical(text, kind.__name__, error, extra={"event": "died"})
    told = screen.flush()
    if not say("".join(traceback.format_exception(kind, error, trace)), sys.stderr) or not told:
        os._exit(1)  # the interpreter would wait at its end for the stream that nobody reads


def say(text: str, stream: TextIO) -> bool:
    """Write text with its secrets masked, within ``FLUSH_WITHIN`` seconds; whether it was."""
    screen = Screen(stream)
    screen.raw(text)
    return screen.flush()


def _json(event: str, values: Mapping[str, object], level: str) -> str:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    entry = {"time": now, "level": level, "event": event, **values}
    return json.dumps(_redacted(entry), ensure_ascii=False) + "\n"


def _stamped(at: float, level: str, message: str) -> str:
    return f"{time.strftime('%H:%M:%S', time.localtime(at))} {level:7} {message}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(item) for item in value]
    return value


def default_screen(log_format: LogFormat) -> Screen:
    """Text goes to standard error, which leaves standard output to the summary; JSON goes to standard output."""
    screen = Screen(sys.stderr if log_format == "text" else sys.stdout, log_format=log_format)
    atexit.register(screen.flush)
    return screen
