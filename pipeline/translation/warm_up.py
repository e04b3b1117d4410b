"""Preparing engines for a new picture size beside the running cameras, which need not wait for it."""

from __future__ import annotations

import threading
import time
from weakref import WeakKeyDictionary

from nightday.engines.backends.base import Engine

from ..core.event_log import to_log
from ..core.events import Notice, Publish

Size = tuple[int, int]


class WarmUp:
    """Has engines prepare picture sizes in threads of their own.

    Args:
        publish: told when an engine is ready for a size.
    """

    def __init__(self, publish: Publish = to_log) -> None:
        self._publish = publish
        self._lock = threading.Lock()
        # Held weakly: an engine that was swapped out must be freed, and another may then have its id.
        self._under_way: WeakKeyDictionary[Engine, dict[Size, Exception | None]] = WeakKeyDictionary()

    def ready(self, engine: Engine, height: int, width: int) -> bool:
        """Whether ``engine`` can be called at once with frames of this size; if not, it is being prepared.

        Also True where preparing failed: the engine's own call then says why.
        """
        if engine.prepared(height, width):
            return True
        size = (height, width)
        with self._lock:
            sizes = self._under_way.setdefault(engine, {})
            if size in sizes:
                return sizes[size] is not None
            sizes[size] = None
        threading.Thread(target=self._prepare, args=(engine, size), name="warm-up", daemon=True).start()
        return False

    def _prepare(self, engine: Engine, size: Size) -> None:
        try:
            prepare(engine, *size, publish=self._publish)
        except Exception as error:
            with self._lock:
                self._under_way[engine][size] = error.with_traceback(
                    None
                )  # a traceback would hold the engine
        else:
            with self._lock:  # if the engine ever drops the size, it is prepared again
                del self._under_way[engine][size]


def prepare(engine: Engine, height: int, width: int, *, publish: Publish = to_log) -> None:
    """Make ``engine`` ready for frames of a size, and say so if that took any work."""
    if engine.prepared(height, width):
        return
    began = time.monotonic()
    engine.prepare(height, width)
    seconds = time.monotonic() - began
    publish(Notice(name="engine_ready", detail=f"engine ready for {width}x{height} in {seconds:.1f} s"))
