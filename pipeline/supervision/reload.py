"""Reading the configuration again, beside the cameras that run, and putting it in their place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from ..config.errors import ConfigError
from ..core.events import Notice, Publish
from ..serving.setup import Setup
from .commands import CommandQueue
from .systemd import Notifier


class Reload:
    """Has the configuration read, and what it needs made ready, in a thread of its own.

    Models take seconds to load, and some engines minutes to build. The command ``"reloaded"`` tells of the end: then
    ``finish`` is to be called. A second reload waits for the first, which may have read the file too early.

    Args:
        read: reads the configuration and loads what it needs; None where nothing can be reloaded.
        prepare: makes ready what is new in it, in the thread.
        apply: puts it in place of what runs, in ``finish``. Returns what was changed, None if it was refused.
        commands: the runtime's.
        publish: told what was changed, or why nothing was.
        notifier: tells systemd.
    """

    def __init__(
        self,
        read: Callable[[], Setup] | None,
        *,
        prepare: Callable[[Setup], None],
        apply: Callable[[Setup], str | None],
        commands: CommandQueue,
        publish: Publish,
        notifier: Notifier,
    ) -> None:
        self._read = read
        self._prepare = prepare
        self._apply = apply
        self._commands = commands
        self._publish = publish
        self._notifier = notifier
        self._again: Callable[[], Setup] | None = None
        self._result: Setup | Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def under_way(self) -> bool:
        """Whether one has begun and is not finished."""
        return self._thread is not None

    @property
    def thread_ended(self) -> bool:
        """Whether no thread of it is at work."""
        return self._thread is None or not self._thread.is_alive()

    def start(self, read: Callable[[], Setup] | None = None) -> None:
        """Begin, or once more when the present one is finished. Returns at once.

        Args:
            read: gives what is to run, in place of what reads the configuration.
        """
        read = read or self._read
        if read is None:
            return
        if self._thread is not None:
            # What reads the configuration does all that another way does, too.
            self._again = self._read if self._read in (read, self._again) else read
            return
        self._notifier.reloading()
        self._thread = threading.Thread(target=self._work, args=(read,), name="reload", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Put what was read in place of what runs, or say why not."""
        result, self._result, self._thread = self._result, None, None
        try:
            if isinstance(result, Setup):
                changed = self._apply(result)
                if changed is not None:
                    self._publish(Notice(name="reloaded", detail=f"reloaded: {changed}"))
            elif result is not None:
                raise result
        except ConfigError as error:
            self.refuse(error.faults)
        except Exception as error:
            self.refuse([f"{type(error).__name__}: {error}"])
        self._notifier.ready()
        again, self._again = self._again, None
        if again is not None:
            self.start(again)

    def _work(self, read: Callable[[], Setup]) -> None:
        try:
            setup = read()
            self._prepare(setup)
            self._result = setup
        except Exception as error:
            self._result = error
        self._commands.put("reloaded")

    def refuse(self, faults: Iterable[str]) -> None:
        """Tell why nothing was changed."""
        for fault in faults:
            self._publish(Notice(name="reload_refused", detail=f"not reloaded: {fault}", level="error"))
