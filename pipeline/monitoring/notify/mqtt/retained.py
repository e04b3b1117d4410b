"""What a broker keeps for whoever subscribes: the newest value of each topic.

Only the newest is sent, and the next one of a topic once the broker has the last. So a slow connection delays values
but piles up none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Send = Callable[[str, bytes], int]
"""Publishes a payload at a topic, retained; gives what its acknowledgement will be known by."""


class RetainedTopics:
    """Values by topic, over one connection. One thread uses it.

    Args:
        before: topics that an earlier run has set and this one has not yet.
        remember: given all topics that may have a value at the broker, before another one is set.
    """

    def __init__(
        self, before: Iterable[str] = (), *, remember: Callable[[set[str]], None] = lambda _: None
    ) -> None:
        self._wanted: dict[str, bytes] = {}
        self._before = set(before)
        self._remember = remember
        self._remembered: set[str] | None = None
        self._sent: dict[str, bytes] = {}
        self._under_way: dict[int, str] = {}
        self._dirty: dict[str, None] = {}

    @property
    def topics(self) -> set[str]:
        """All that may have a value at the broker and are not being cleared."""
        return self._before | {topic for topic, payload in self._wanted.items() if payload}

    @property
    def busy(self) -> int:
        """How many values are on their way."""
        return len(self._under_way)

    @property
    def idle(self) -> bool:
        """Whether the broker has every newest value."""
        return not self._dirty and not self._under_way

    def put(self, topic: str, payload: bytes) -> None:
        """From now on this is the topic's value; b"" clears it."""
        self._wanted[topic] = payload
        self._before.discard(topic)
        if self._sent.get(topic) == payload:
            self._dirty.pop(topic, None)
        else:
            self._dirty[topic] = None

    def send(self, send: Send, most: int) -> None:
        """Send what is new, until ``most`` are on their way."""
        topics = self._before | set(self._wanted)
        if topics != self._remembered:
            self._remembered = topics
            self._remember(topics)
        on_their_way = set(self._under_way.values())
        for topic in [topic for topic in self._dirty if topic not in on_their_way]:
            if len(self._under_way) >= most:
                return
            self._under_way[send(topic, self._wanted[topic])] = topic
            self._sent[topic] = self._wanted[topic]
            del self._dirty[topic]

    def acknowledged(self, mid: int) -> bool:
        """The broker has a value; whether it was one of these."""
        topic = self._under_way.pop(mid, None)
        if topic is None:
            return False
        if not self._wanted[topic] and topic not in self._dirty:
            del self._wanted[topic], self._sent[topic]
        return True
