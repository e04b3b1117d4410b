"""RTMP's messages, and the chunks in which they go over the connection (RTMP 1.0, chapter 5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

SET_CHUNK_SIZE, ABORT, ACKNOWLEDGEMENT, USER_CONTROL, WINDOW, PEER_BANDWIDTH = range(1, 7)
AUDIO, VIDEO, DATA, COMMAND = 8, 9, 18, 20
# Bytes of a chunk that is sent: a picture then takes few of them.
CHUNK = 60_000
# Bytes of a message that is taken. A publisher is told little.
LARGEST = 1_000_000
# What a time stamp is written as where it takes four bytes, which then follow.
_EXTENDED = 0xFFFFFF
_CONTROL, _COMMANDS, _MEDIA = 2, 3, 4
_HEADER = {0: 11, 1: 7, 2: 3, 3: 0}


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        kind: one of the numbers above.
        data: what it holds.
        stream: the message stream it belongs to; 0 for the connection itself.
        time: milliseconds.
    """

    kind: int
    data: bytes
    stream: int = 0
    time: int = 0


def chunked(message: Message, *, size: int = CHUNK) -> bytes:
    """A message as chunks, each with a whole header."""
    channel = _COMMANDS if message.kind == COMMAND else _CONTROL if message.kind <= PEER_BANDWIDTH else _MEDIA
    time = message.time & 0xFFFFFFFF
    extended = struct.pack(">I", time) if time >= _EXTENDED else b""
    short = min(time, _EXTENDED).to_bytes(3, "big")
    head = (
        short
        + len(message.data).to_bytes(3, "big")
        + bytes((message.kind,))
        + struct.pack("<I", message.stream)
    )
    parts = [bytes((channel,)) + head + extended + message.data[:size]]
    for start in range(size, len(message.data), size):
        parts.append(bytes((0xC0 | channel,)) + extended + message.data[start : start + size])
    return b"".join(parts)


@dataclass(slots=True)
class _Channel:
    """What the last header on a chunk stream said, and what has come of its message."""

    time: int = 0
    length: int = 0
    kind: int = 0
    stream: int = 0
    extended: bool = False
    data: bytes = b""


class ChunkReader:
    """Makes messages of the bytes that come. Raises ValueError for what is no RTMP."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._size = 128
        self._channels: dict[int, _Channel] = {}

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with ``data``."""
        self._received += data
        messages = []
        while (taken := self._chunk()) is not None:
            used, message = taken
            del self._received[:used]
            if message is None:
                continue
            if message.kind == SET_CHUNK_SIZE and len(message.data) >= 4:
                self._size = max(1, int.from_bytes(message.data[:4], "big") & 0x7FFFFFFF)
            messages.append(message)
        return messages

    def _chunk(self) -> tuple[int, Message | None] | None:
        """Bytes of the next chunk, and the message that it completes; None while it is not all there."""
        got = self._received
        if not got:
            return None
        form, number, at = got[0] >> 6, got[0] & 63, 1
        if number < 2:  # one or two bytes more
            at += 1 + number
            if len(got) < at:
                return None
            number = 64 + int.from_bytes(got[1:at], "little")
        head = at + _HEADER[form]
        if len(got) < head:
            return None
        before = self._channels.get(number)
        if before is None:
            if form == 3 or len(self._channels) > 64:
                raise ValueError("no RTMP")
            before = _Channel()
        now = _Channel(before.time, before.length, before.kind, before.stream, before.extended, before.data)
        if form < 3:
            now.time = int.from_bytes(got[at : at + 3], "big")
            now.extended = now.time == _EXTENDED
        if form < 2:
            now.length, now.kind = int.from_bytes(got[at + 3 : at + 6], "big"), got[at + 6]
        if form == 0:
            now.stream = int.from_bytes(got[at + 7 : at + 11], "little")
        if now.length > LARGEST:
            raise ValueError("no RTMP")
        at = head
        if now.extended:
            if len(got) < at + 4:
                return None
            now.time = int.from_bytes(got[at : at + 4], "big")
            at += 4
        end = at + min(self._size, now.length - len(now.data))
        if len(got) < end:
            return None
        now.data += bytes(got[at:end])
        message = None
        if len(now.data) >= now.length:
            message = Message(now.kind, now.data, now.stream, now.time)
            now.data = b""
        self._channels[number] = now
        return end, message
