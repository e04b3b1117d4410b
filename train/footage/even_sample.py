"""An even sample of frames that are too many to hold, and whose number is not known before they are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Progress = Callable[[int, int], None]
"""Told how many frames have been passed, and how many there are as far as is known."""


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """Consecutive frames, such as those of a clip.

    Attributes:
        expected: how many there probably are.
        frames: gives a function for each frame, which makes what is to be kept of it; or None where it turns out
            that there is no such frame. It must be called before the next frame is asked for.
    """

    expected: int
    frames: Callable[[], Iterator[Callable[[], T | None]]]


def even_positions(total: int, count: int) -> NDArray[np.int_]:
    """At most ``count`` of the positions 0 … ``total`` - 1, evenly spread, the first and the last among them."""
    return np.asarray(np.linspace(0, total - 1, min(count, total)).round(), int)


def read_evenly(parts: Sequence[Part[T]], most: int, progress: Progress = lambda _done, _of: None) -> list[T]:
    """At most ``most`` of all frames: those at ``even_positions``, in their order. No others are held.

    The parts are read once if they hold as many frames as expected, or all are kept anyhow. Else they are read a
    second time, with what was counted. A part of which nothing is to be kept is not read, and holds as many as
    expected.
    """
    expected = [part.expected for part in parts]
    counted: list[int] = []
    kept: list[T] = []
    for _ in range(2):
        kept.clear()
        counted = []
        picked = even_positions(sum(expected), most)
        start = 0
        for part, length in zip(parts, expected, strict=True):
            here = picked[(picked >= start) & (picked < start + length)] - start
            passed = _passed(start, sum(expected), progress)
            counted.append(_read(part, {*here.tolist()}, kept, passed) if len(here) else length)
            start += length
        whole = sum(expected) <= most and all(c <= e for c, e in zip(counted, expected, strict=True))
        if whole or counted == expected:
            break
        expected = counted
    return kept


def _read(part: Part[T], picked: set[int], kept: list[T], passed: Callable[[int], None]) -> int:
    """Append the frames picked to ``kept``; gives how many frames there are."""
    count = missing = 0
    for make in part.frames():
        if count in picked:
            made = make()
            if made is None:
                missing += 1
            else:
                kept.append(made)
        count += 1
        passed(count)
    return count - missing


def _passed(start: int, total: int, progress: Progress) -> Callable[[int], None]:
    return lambda count: progress(start + count, total)
