"""What a node's process has written down before it is killed is told afterwards, each event once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from nightday.pipeline.cluster import journal as journal_module
from nightday.pipeline.cluster.happenings import Happenings
from nightday.pipeline.cluster.messages import Beat, Late, Report
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.events import Notice

WAIT = 30.0

# A node's process that is asked for events by number, and says so once they are on disk.
_NODE = """
import sys
from pathlib import Path
from nightday.pipeline.cluster.happenings import Happenings
from nightday.pipeline.cluster.messages import Beat
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.events import Notice
happenings = Happenings(SystemClock(), folder=Path(sys.argv[1]), node="a")
spool = happenings._journal._own
for line in sys.stdin:
    word, number = line.split()
    if word == "happen":
        happenings.note(Notice(name="retention", camera="gate", detail=number))
        while not (last := spool.after(0, 10**6)) or f'"message": "{number}"' not in last[-1].payload:
            pass
    else:
        happenings.taken(Beat(None, told_to=int(number)))
        while spool.acknowledged("coordinator") < int(number):
            pass
    print(number, flush=True)
"""


class Node:
    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NODE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, word: str, numbers: Sequence[int]) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for number in numbers:
            self._process.stdin.write(f"{word} {number}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == f"{number}\n"

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[], Happenings]]:
    begun: list[Happenings] = []

    def make() -> Happenings:
        begun.append(Happenings(SystemClock(), folder=tmp_path / "events", node="b"))
        return begun[-1]

    yield make
    for one in begun:
        if one._journal is not None:
            one._journal.close()


def left(happenings: Happenings, *numbers: int) -> None:
    """These happen, and are on disk when it ends."""
    for number in numbers:
        happenings.note(Notice(name="retention", detail=str(number)))
    journal, happenings._journal = happenings._journal, None
    assert journal is not None
    journal.close()


def report_of(happenings: Happenings) -> Report:
    return happenings.told(Report(stamp=0.0, version=0, written={}, program="1"))


def late_of(happenings: Happenings) -> Late:
    """The next late events, once there are any."""
    _until(lambda: report_of(happenings).late is not None)
    late = report_of(happenings).late
    assert late is not None
    return late


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def numbers(late: Late) -> list[int]:
    return [int(json.loads(one.payload)["message"]) for one in late.messages]


def test_a_killed_process_loses_nothing_that_was_on_disk_and_not_taken(
    tmp_path: Path, begin: Callable[[], Happenings], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    monkeypatch.setattr(journal_module, "LATE_AT_ONCE", 7)
    monkeypatch.setattr(journal_module, "LOOK_EVERY", 0.05)
    count = rng.randint(20, 40)
    taken = rng.randint(1, count - 10)
    dies = Node(tmp_path / "events")
    dies.ask("happen", range(1, count + 1))
    dies.ask("taken", [taken])
    beside = begin()  # another process on the same machine
    beside.note(Notice(name="retention", detail="its own"))
    assert report_of(beside).late is None, "a process that lives tells its events itself"
    dies.kill()
    told: list[int] = []
    while len(told) < count - taken:
        late = late_of(beside)
        assert 0 < len(late.messages) <= 7
        told += numbers(late)
        assert [one.number for one in late.messages] == numbers(late)
        assert {json.loads(one.payload)["node"] for one in late.messages} == {"a"}
        beside.taken(Beat(None, late_to=(late.journal, late.messages[-1].number)))
        _until(lambda late=late: report_of(beside).late != late)  # type: ignore[misc]
    assert told == [*range(taken + 1, count + 1)]
    assert report_of(beside).late is None
    (own,) = (tmp_path / "events").glob("*.sqlite")
    assert own.stem == report_of(beside).journal


def test_what_was_left_is_told_by_the_next_process_until_it_is_taken(
    tmp_path: Path, begin: Callable[[], Happenings]
) -> None:
    left(begin(), 1, 2)
    first = begin()
    late = late_of(first)
    assert numbers(late) == [1, 2]
    left(first)  # it ends before the coordinator has heard of them
    assert late_of(begin()) == late


def test_a_damaged_file_is_put_aside_and_hides_no_other(
    tmp_path: Path, begin: Callable[[], Happenings]
) -> None:
    folder = tmp_path / "events"
    left(begin(), 1)
    damaged = folder / "0.sqlite"
    damaged.write_bytes(b"no database, but long enough to be read as one" * 100)
    os.utime(damaged, (0, 0))  # it is looked at first
    assert numbers(late_of(begin())) == [1]
    assert (folder / "0.damaged").exists()
    assert not damaged.exists()


def test_where_the_folder_cannot_be_had_events_are_told_all_the_same_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file in its place")
    happenings = Happenings(SystemClock(), folder=tmp_path / "events", node="b")
    happenings.note(Notice(name="retention", detail="x"))
    report = report_of(happenings)
    assert report.journal is None
    assert [getattr(one.event, "name", "") for one in report.happened] == ["events_not_kept", "retention"]
    assert str(tmp_path / "events") in getattr(report.happened[0].event, "detail", "")
