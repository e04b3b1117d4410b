"""All that is told to the outside in one run: the spool, and a sink for each place that the configuration names."""

from __future__ import annotations

import random
import sqlite3
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from ...config.notify import EventsConfig
from ...config.schema import Config
from ...core.clock import Clock
from ...core.control import Switches
from ...core.events import Event, Notice, Publish
from ...core.state_folder import state_folder
from ...core.status import Pictured
from .camera_facts import CameraFacts
from .file import FileSink
from .message import Message, Origin
from .outbox import Outbox
from .sink import Sink, Surroundings
from .spool import Spool, SpoolInUseError
from .webhook import WebhookSink, reader_of

# Messages that may wait where they are kept in memory alone.
MOST_IN_MEMORY = 5_000
# Events kept that happen before anything is served.
MOST_EARLY = 1_000
# Seconds that a sink has to end when the configuration changes.
CHANGE_WITHIN = 2.0


class Run(Pictured, Switches, Protocol):
    """A run as home automation sees it: it may look, and change what ``Switches`` lists. Calls may take seconds."""


class Wanted(NamedTuple):
    """A sink that a configuration asks for.

    Attributes:
        settings: what it is made with; where they differ it is another.
        make: makes it, given ``around``.
    """

    settings: object
    make: Callable[..., Sink]


class Notifications:
    """Tells the outside what happens, as the configuration says.

    ``note`` is to be subscribed to the run's events; any thread may call it. The other methods are for the runtime's
    thread.

    Args:
        run: the run, for those sinks that tell its state or change it.
        publish: told what happens to sinks and spool.
        clock: time.
        rng: random numbers, for times between tries.
    """

    def __init__(self, run: Run, *, publish: Publish, clock: Clock, rng: random.Random | None = None) -> None:
        self._run = run
        self._publish = publish
        self._clock = clock
        self._rng = rng or random.Random()
        self._facts = CameraFacts()
        self._spool: Spool | None = None
        self._settings: EventsConfig | None = None
        self._outbox: Outbox | None = None
        self._sinks: dict[str, tuple[object, Sink]] = {}
        # What happens before anything is served, as cameras are made.
        self._early: deque[Event] | None = deque(maxlen=MOST_EARLY)

    @property
    def sinks(self) -> list[Sink]:
        """Those that send."""
        return [sink for _, sink in list(self._sinks.values())]

    def note(
        self, event: Event, *, at: float | None = None, node: str | None = None, origin: Origin | None = None
    ) -> None:
        """Something has happened, at a Unix second, by default now; in a cluster maybe on a node. Never waits."""
        self._facts.note(event)
        outbox, early = self._outbox, self._early
        if outbox is not None:
            outbox.put(event, at=at, node=node, origin=origin)
        elif early is not None:
            early.append(event)

    def note_late(self, message: Message) -> None:
        """Something has happened on a node that could not tell it then. How things are now, it does not change."""
        outbox = self._outbox
        if outbox is not None:
            outbox.put_message(message)

    def serve(self, config: Config) -> None:
        """Send what happens to where ``config`` says from now on. Sinks it says nothing new of are not touched."""
        wanted = self._wanted(config)
        for reader in [*self._sinks]:
            if reader not in wanted or wanted[reader][0] != self._sinks[reader][0]:
                self._end(reader)
        if not wanted or (self._settings is not None and _place(self._settings) != _place(config.events)):
            for reader in [*self._sinks]:
                self._end(reader)
            self._close_spool(0.0)
        self._settings = config.events
        early, self._early = self._early, None
        if not wanted:
            return
        if self._spool is None:
            self._spool = self._opened(_place(config.events), wanted.keys())
            self._outbox = Outbox(self._spool, told=self._wake, publish=self._publish, clock=self._clock)
            self._outbox.start()
        else:
            with suppress(sqlite3.Error):  # the sinks say so
                self._spool.keep_readers(wanted.keys())
        for event in early or ():
            self.note(event)
        around = Surroundings(self._spool, self._publish, self._clock, self._rng)
        for reader, (settings, make) in wanted.items():
            if reader not in self._sinks:
                sink = make(around=around)
                self._sinks[reader] = settings, sink
                sink.start()

    def close(self, within: float) -> None:
        """Send what can be sent ``within`` seconds, and end. What is left waits on disk for the next start."""
        deadline = self._clock.monotonic() + within
        if self._outbox is not None:
            self._outbox.finish()
            self._outbox.join(max(0.0, deadline - self._clock.monotonic()))
        for sink in self.sinks:
            sink.finish()
        for sink in self.sinks:
            sink.join(max(0.0, deadline - self._clock.monotonic()))
            sink.stop()
        self._sinks.clear()
        self._close_spool(max(0.0, deadline - self._clock.monotonic()))

    def _wanted(self, config: Config) -> dict[str, Wanted]:
        """The sinks that a configuration asks for, by reader."""
        wanted: dict[str, Wanted] = {}
        events = config.events
        if events.file is not None:
            most = int(events.megabytes * 1_000_000)
            make = partial(FileSink, events.file, most_bytes=most, keep=events.keep)
            wanted["file"] = Wanted((events.file, most, events.keep), make)
        mqtt = config.mqtt
        if mqtt is not None:
            from .mqtt.sink import READER, MqttSink  # its library is an extra

            run = self._run
            make_mqtt = partial(MqttSink, mqtt, run=run, controls=run, facts=self._facts)
            wanted[READER] = Wanted(mqtt, make_mqtt)
        for webhook in config.webhooks:
            wanted[reader_of(webhook)] = Wanted(webhook, partial(WebhookSink, webhook))
        return wanted

    def _opened(self, path: Path, readers: Collection[str]) -> Spool:
        """The spool at ``path``, with its readers; in memory where that cannot be had."""
        try:
            try:
                return _with_readers(Spool(path), readers)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # the disk, not what is in the file
                    raise
                aside = path.with_name(f"{path.name}.damaged")
                path.replace(aside)
                for suffix in ("-wal", "-shm"):
                    path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
                self._tell(
                    f"{path} was damaged ({error}) and is put aside as {aside.name}; what waited in it is lost"
                )
                return _with_readers(Spool(path), readers)
        except SpoolInUseError as error:
            way_out = "give one of the two another `spool:` below `events:`"
            self._tell(f"{error}, so events that wait are lost at the end; {way_out}")
        except (OSError, sqlite3.Error) as error:
            self._tell(f"{path} cannot be used ({error}), so events that wait are lost at the end")
        return _with_readers(Spool(None, most_messages=MOST_IN_MEMORY), readers)

    def _tell(self, detail: str) -> None:
        self._publish(Notice(name="events_not_kept", detail=detail, level="warning"))

    def _wake(self) -> None:
        for sink in self.sinks:
            sink.wake()

    def _end(self, reader: str) -> None:
        """End a sink that is not wanted any more. What it could not send stays in the spool for its successor."""
        _, sink = self._sinks.pop(reader)
        sink.stop()
        sink.join(CHANGE_WITHIN)

    def _close_spool(self, within: float) -> None:
        if self._outbox is not None:
            self._outbox.finish()
            self._outbox.join(within or CHANGE_WITHIN)
            self._outbox = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None


def _with_readers(spool: Spool, readers: Collection[str]) -> Spool:
    try:
        spool.keep_readers(readers)
    except sqlite3.Error:
        spool.close()
        raise
    return spool


def _place(settings: EventsConfig) -> Path:
    return settings.spool or state_folder() / "events.sqlite"
