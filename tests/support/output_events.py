"""Collecting what outputs publish."""

from __future__ import annotations

from nightday.pipeline.core.event_log import to_log
from nightday.pipeline.core.events import Event, OutputChanged
from tests.support.media_helpers import Events


class OutputEvents(Events):
    """Logs every event, as the program does, and collects the changes of an output's state."""

    def __call__(self, event: object) -> None:
        assert isinstance(event, Event)
        to_log(event)
        if isinstance(event, OutputChanged):
            super().__call__(event)
