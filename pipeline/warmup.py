"""Compiling for a new picture size beside the running cameras, which need not wait for it."""

from __future__ import annotations

import logging
import threading
import time

from pipeline.translator import Translate

log = logging.getLogger(__name__)


class WarmUp:
    """Has engines prepare picture sizes in a thread of its own, one after the other.

    An engine without ``prepare`` (any callable will do for one) is always ready.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[tuple[int, int, int], Exception | None] = {}

    def ready(self, engine: Translate, height: int, width: int) -> bool:
        """Whether ``engine`` can be called at once with frames of this size; if not, it is being made ready.

        True as well where preparing failed: the engine's own call then says why.
        """
        prepared = getattr(engine, "prepared", None)
        if prepared is None or prepared(height, width):
            return True
        key = (id(engine), height, width)
        with self._lock:
            if key in self._under_way:
                return self._under_way[key] is not None
            self._under_way[key] = None
        threading.Thread(target=self._prepare, args=(engine, key), name="warm-up", daemon=True).start()
        return False

    def _prepare(self, engine: Translate, key: tuple[int, int, int]) -> None:
        _, height, width = key
        try:
            prepare(engine, height, width)
        except Exception as error:
            with self._lock:
                self._under_way[key] = error
        else:
            with self._lock:
                del self._under_way[key]  # should the engine ever drop the size, it is prepared again


def prepare(engine: Translate, height: int, width: int) -> None:
    """Make ``engine`` ready for frames of a size, and say so if that took any work."""
    prepared = getattr(engine, "prepared", None)
    if prepared is None or prepared(height, width):
        return
    began = time.monotonic()
    engine.prepare(height, width)  # type: ignore[attr-defined]
    log.info(
        "engine ready for %dx%d in %.1f s", width, height, time.monotonic() - began,
        extra={"event": "engine_ready"},
    )  # fmt: skip
