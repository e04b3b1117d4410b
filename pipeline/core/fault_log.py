"""Faults told when they begin, not each time they show."""

from __future__ import annotations

from .camera_url import redact
from .event_log import to_log
from .events import Notice, NoticeName, Publish


class FaultLog:
    """What is wrong with one camera at the moment. Any thread may call it.

    Args:
        camera: its name.
        publish: told of each fault that begins.
    """

    def __init__(self, camera: str, publish: Publish = to_log) -> None:
        self._camera = camera
        self._publish = publish
        self._present: set[str] = set()

    def begin(self, fault: str, notice: NoticeName, detail: str) -> None:
        """Publish ``notice`` with ``detail`` as a warning, unless ``fault`` has begun already."""
        if fault not in self._present:
            self._present.add(fault)
            text = redact(" ".join(detail.split()))
            self._publish(Notice(camera=self._camera, name=notice, detail=text, level="warning"))

    def end(self, fault: str) -> None:
        """``fault`` is over: when it comes again, it is told again."""
        self._present.discard(fault)
