"""Compiling for a new picture size beside the running cameras, which need not wait for it."""

from __future__ import annotations

import logging
import threading
import time
from weakref import WeakKeyDictionary

from .engine_call import Translate

log = logging.getLogger(__name__)


class WarmUp:
    """Has engines prepare picture sizes in a thread of its own, one after the other.

    An engine without ``prepare`` (any callable will do for one) is always ready.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Weakly, since an engine that was swapped out is to go, and another may then have its id.
        self._under_way: WeakKeyDictionary[Translate, dict[tuple[int, int], Exception | None]] = (
            WeakKeyDictionary()
        )

    def ready(self, engine: Translate, height: int, width: int) -> bool:
        """Whether ``engine`` can be called at once with frames of this size; if not, it is being made ready.

        True as well where preparing failed: the engine's own call then says why.
        """
        if is_prepared(engine, height, width):
            return True
        size = (height, width)
        with self._lock:
            sizes = self._under_way.setdefault(engine, {})
            if size in sizes:
                return sizes[size] is not None
            sizes[size] = None
        threading.Thread(target=self._prepare, args=(engine, size), name="warm-up", daemon=True).start()
        return False

    def _prepare(self, engine: Translate, size: tuple[int, int]) -> None:
        try:
            prepare(engine, *size)
        except Exception as error:
            with self._lock:
                self._under_way[engine][size] = error.with_traceback(None)  # which would hold the engine
        else:
            with self._lock:
                del self._under_way[engine][
                    size
                ]  # should the engine ever drop the size, it is prepared again


def is_prepared(engine: Translate, height: int, width: int) -> bool:
    """Whether ``engine`` can be called at once with frames of a size; True where it has no ``prepared``."""
    prepared = getattr(engine, "prepared", None)
    return prepared is None or bool(prepared(height, width))


def prepare(engine: Translate, height: int, width: int) -> None:
    """Make ``engine`` ready for frames of a size, and say so if that took any work."""
    if is_prepared(engine, height, width):
        return
    began = time.monotonic()
    engine.prepare(height, width)  # type: ignore[attr-defined]
    log.info(
        "engine ready for %dx%d in %.1f s", width, height, time.monotonic() - began,
        extra={"event": "engine_ready"},
    )  # fmt: skip
