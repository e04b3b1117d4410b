"""Tells a broker what happens and how the cameras are, and does what comes from there.

Events go out in order and are acknowledged one by one. State, pictures and what Home Assistant needs are kept at the
broker (retained); after each connection they are sent anew, since a broker may forget.
"""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import suppress
from typing import get_args

from ....config.notify import MqttConfig
from ....core.backoff import Backoff
from ....core.control import Controls, Translate
from ....core.status import Watched
from ..camera_facts import CameraFacts
from ..message import StoredMessage
from ..sink import Sink, Surroundings
from .broker import WINDOW, Broker, BrokerError, Command, Protocol
from .cameras import CameraTopics
from .event_feed import EventFeed
from .retained import RetainedTopics
from .topics import Topics

READER = "mqtt"
# Seconds in which the last words are to arrive at the end.
FAREWELL = 1.0
# Seconds between two notices of one kind of refusal.
NOTICE_EVERY = 600.0
# Places among what is on its way that events leave to retained values.
_FOR_VALUES = 4
# Bytes around a payload in its packet, topic included.
_AROUND = 1000
_TOPICS, _ONLINE, _OFFLINE = "mqtt topics", b"online", b"offline"


class MqttSink(Sink):
    """See the module.

    Args:
        config: the ``mqtt`` section.
        run: the run that is told of.
        controls: what commands may change.
        facts: what events tell of its cameras.
        around: see ``Sink``.
        backoff: the time between tries.
    """

    def __init__(
        self,
        config: MqttConfig,
        *,
        run: Watched,
        controls: Controls,
        facts: CameraFacts,
        around: Surroundings,
        backoff: Backoff = Backoff(),  # noqa: B008 - a value
    ) -> None:
        host, port = config.address
        shown = f"[{host}]" if ":" in host else host
        super().__init__(
            READER, target=f"the MQTT broker {shown}:{port}", events=config.events, around=around
        )
        self._config = config
        self._controls = controls
        self._facts = facts
        self._backoff = backoff
        self._topics = Topics(config.topic_prefix, config.discovery_prefix if config.discovery else None)
        self._cameras = CameraTopics(
            self._topics,
            run=run,
            facts=facts,
            spool=around.spool,
            clock=around.clock,
            picture_every=config.picture_every_s,
        )
        self._protocol: Protocol = "5"
        self._noticed: dict[str, float] = {}
        self._ever_connected = False
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)

    def wake(self) -> None:
        """See ``Sink``."""
        with suppress(OSError):  # it is awake already, or gone
            self._waker.send(b"\0")

    def run(self) -> None:
        """Connect, again and again, and send until finished."""
        self._facts.listen(self.wake)
        try:
            self._run()
        finally:
            self._facts.listen(None)
            self._waker.close()
            self._woken.close()

    def _run(self) -> None:
        attempt = 0
        while not self._stopped.is_set():
            broker = Broker(
                self._config,
                client_id=f"nightday-{self._spool.id[:12]}",
                protocol=self._protocol,
                will=self._topics.status,
                commands=self._topics.commands,
                clock=self._clock,
            )
            done = False
            try:
                broker.open(self._woken, self._stopped)
                attempt = 0
                self._tell_connected()
                self._serve(broker)
                done = True
                return
            except BrokerError as error:
                if error.protocol:  # an old broker may know the other version
                    self._protocol = "3.1.1" if self._protocol == "5" else "5"
                self._tell_failure(str(error))
            except sqlite3.Error as error:
                self._tell_failure(f"the events that wait cannot be read: {error}")
            finally:
                broker.close(politely=done)
            if self._clock.wait(self._finishing, self._backoff.delay(attempt, self._rng)):
                return
            attempt += 1

    def _serve(self, broker: Broker) -> None:
        """Send over one connection until it is lost, which raises BrokerError, or this is finished."""
        retained, feed = self._retained(), EventFeed(self._spool, self.reader, self.wants)
        retained.put(self._topics.status, _ONLINE)
        self._cameras.restart()
        farewell: float | None = None
        while True:
            now = self._clock.monotonic()
            if farewell is None:
                due = self._cameras.update(retained, largest=broker.largest)
                empty = self._send(broker, retained, feed)
                if self._stopped.is_set() or (self._finishing.is_set() and empty):
                    retained.put(self._topics.status, _OFFLINE)
                    farewell = now + FAREWELL
            if farewell is not None:
                retained.send(lambda topic, payload: broker.publish(topic, payload, retain=True), WINDOW)
                if retained.idle or now >= farewell:
                    return
                due = farewell
            broker.wait(due - now)
            while broker.acknowledged:
                mid, refused = broker.acknowledged.popleft()
                if not retained.acknowledged(mid):
                    feed.acknowledged(mid)
                if refused:
                    self._notice("refused", f"{self.target} refuses a message: {refused}")
            feed.settle()
            while broker.commands:
                self._obey(broker.commands.popleft())

    def _send(self, broker: Broker, retained: RetainedTopics, feed: EventFeed) -> bool:
        """Send what there is room for; whether no event waits or is on its way."""
        retained.send(lambda topic, payload: broker.publish(topic, payload, retain=True), WINDOW - feed.busy)

        def send(message: StoredMessage) -> int | None:
            if broker.largest is not None and len(message.data) + _AROUND > broker.largest:
                self._notice("refused", f"{self.target} takes no messages as long as {message.event}")
                return None
            return broker.publish(self._topics.event(message.camera), message.data, retain=False)

        return feed.send(send, WINDOW - max(retained.busy, _FOR_VALUES))

    def _retained(self) -> RetainedTopics:
        """What is to be kept at the broker, and what an earlier connection or run has set there."""
        here = f"{self._config.host}:{self._config.address[1]}"
        with suppress(ValueError, TypeError, KeyError):
            before = json.loads(self._spool.recall(_TOPICS) or "{}")
            if before.get("broker") == here:
                topics = {str(topic) for topic in before["topics"]}
                return RetainedTopics(topics, remember=lambda topics: self._remember(here, topics))
        return RetainedTopics(remember=lambda topics: self._remember(here, topics))

    def _remember(self, broker: str, topics: set[str]) -> None:
        self._spool.remember(_TOPICS, json.dumps({"broker": broker, "topics": sorted(topics)}))

    def _obey(self, command: Command) -> None:
        """Do what a command says; what is wrong with it is told."""
        camera = self._topics.camera_of(command.topic)
        word = command.payload[:32].decode("ascii", "replace").strip()
        choices: tuple[Translate, ...] = get_args(Translate)
        when = next((one for one in choices if one == word), None)
        if command.retained:
            problem = "it was retained, so it may be old; publish commands without the retain flag"
        elif len(command.payload) > 32 or when is None:
            problem = f"it must be {', '.join(choices[:-1])} or {choices[-1]}"
        else:
            try:
                self._controls.set_translate(camera, when)
                return
            except KeyError:
                problem = "there is no camera of this name"
            except ValueError as error:
                problem = str(error)
        shown = command.topic if command.topic.isprintable() else repr(command.topic)
        self._notice("command", f"a command at {shown[:200]} is not followed: {problem}")

    def _notice(self, kind: str, detail: str) -> None:
        """Tell of a refusal, but not of each of many."""
        now = self._clock.monotonic()
        if now - self._noticed.get(kind, -NOTICE_EVERY) >= NOTICE_EVERY:
            self._noticed[kind] = now
            self._tell("command_refused" if kind == "command" else "notify_refused", detail, warning=True)

    def _tell_connected(self) -> None:
        if not self._ever_connected and not self._failing:
            self._tell("notify_connected", f"events go to {self.target}")
        self._ever_connected = True
        self._end_failing()

    def _tell_failure(self, why: str) -> None:
        if not self._stopped.is_set():
            self._begin_failing(why)
