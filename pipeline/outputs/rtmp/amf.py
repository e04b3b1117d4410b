"""AMF0, in which RTMP writes its commands (Action Message Format, 2007): numbers, texts, objects."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = "float | bool | str | Mapping[str, Value] | list[Value] | None"

_NUMBER, _BOOLEAN, _STRING, _OBJECT, _NULL, _UNDEFINED, _MAP, _END, _LIST, _DATE, _LONG = (
    *range(4),
    *(5, 6, 8, 9, 10, 11, 12),
)
# How deep objects may lie in each other in what a server sends.
_DEEPEST = 8


def encoded(*values: Value) -> bytes:
    """The values, one after the other."""
    return b"".join(_encoded(value) for value in values)


def _encoded(value: Value) -> bytes:
    if value is None:
        return bytes((_NULL,))
    if isinstance(value, bool):
        return bytes((_BOOLEAN, value))
    if isinstance(value, (int, float)):
        return struct.pack(">Bd", _NUMBER, value)
    if isinstance(value, str):
        data = value.encode()
        if len(data) > 0xFFFF:
            return struct.pack(">BI", _LONG, len(data)) + data
        return bytes((_STRING,)) + _name(value)
    if isinstance(value, Mapping):
        parts = (_name(key) + _encoded(one) for key, one in value.items())
        return bytes((_OBJECT,)) + b"".join(parts) + bytes((0, 0, _END))
    return struct.pack(">BI", _LIST, len(value)) + encoded(*value)


def _name(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">H", len(data)) + data


def decoded(data: bytes) -> list[Value]:
    """The values in ``data``, up to the first that cannot be read."""
    reader, values = _Reader(data), list[Value]()
    try:
        while reader.at < len(data):
            values.append(reader.value(0))
    except (ValueError, struct.error, IndexError):
        pass
    return values


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def value(self, depth: int) -> Value:
        kind = self._data[self.at]
        self.at += 1
        if depth > _DEEPEST:
            raise ValueError("too deep")
        if kind == _NUMBER:
            return float(self._unpack(">d"))
        if kind == _BOOLEAN:
            return bool(self._unpack(">B"))
        if kind in (_STRING, _LONG):
            return self._text(self._unpack(">H" if kind == _STRING else ">I"))
        if kind in (_NULL, _UNDEFINED):
            return None
        if kind == _DATE:
            moment = float(self._unpack(">d"))
            self.at += 2
            return moment
        if kind == _LIST:
            return [self.value(depth + 1) for _ in range(min(self._unpack(">I"), len(self._data)))]
        if kind in (_OBJECT, _MAP):
            self.at += 4 * (kind == _MAP)
            return self._members(depth)
        raise ValueError(f"no kind {kind}")

    def _members(self, depth: int) -> Value:
        members: dict[str, Value] = {}
        while True:
            name = self._text(self._unpack(">H"))
            if not name and self._data[self.at] == _END:
                self.at += 1
                return members
            members[name] = self.value(depth + 1)

    def _unpack(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self.at)
        self.at += struct.calcsize(form)
        return value  # type: ignore[no-any-return]

    def _text(self, length: int) -> str:
        data = self._data[self.at : self.at + length]
        if len(data) < length:
            raise ValueError("cut off")
        self.at += length
        return data.decode("utf-8", "replace")
