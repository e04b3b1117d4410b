"""Freed memory goes back to the system, now and then."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from nightday.pipeline.media.malloc_trim import EVERY, MallocTrimmer
from tests.support.media_helpers import FakeClock

GLIBC = platform.libc_ver()[0] == "glibc"


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not GLIBC, reason="only glibc keeps and can be asked to give back")
def test_what_was_freed_below_something_still_held_is_given_back() -> None:
    blocks = [bytes(2000) for _ in range(40_000)]
    held = [bytes(2000) for _ in range(10)]  # lies above them: the heap cannot shrink from its end
    blocks.clear()
    before = resident()
    assert MallocTrimmer(FakeClock()).give_back()
    print(f"resident {before / 1e6:.1f} MB, then {resident() / 1e6:.1f} MB")
    assert resident() < before - 30e6
    assert len(held) == 10


def test_not_more_often_than_it_is_worth() -> None:
    clock = FakeClock()
    returner = MallocTrimmer(clock)
    done = [returner.give_back()]
    for seconds in (0.0, EVERY - 0.1, 0.2, 0.2, EVERY):
        clock.now += seconds
        done.append(returner.give_back())
    assert done == [GLIBC, False, False, GLIBC, False, GLIBC]


def test_where_it_cannot_be_had_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not MallocTrimmer(FakeClock()).give_back()
