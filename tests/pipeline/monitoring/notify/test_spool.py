"""What waits on disk, against a list that does the same."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.monitoring.notify.message import Message
from nightday.pipeline.monitoring.notify.spool import Spool, SpoolInUseError
from tests.pipeline.monitoring.notify.spooled import messages
from tests.support.rtsp_server import WAIT


def bodies(spool: Spool, after: int = 0, limit: int = 10**6) -> list[int]:
    return [json.loads(one.payload)["what"] for one in spool.after(after, limit)]


def test_messages_keep_their_order_and_have_ids_of_their_own(spool: Spool, tmp_path: Path) -> None:
    other = Spool(tmp_path / "other.sqlite")
    for one in (spool, other):
        one.keep_readers(["a"])
        one.add(messages(3))
        one.add(messages(2, first=3))
    assert bodies(spool) == bodies(other) == [0, 1, 2, 3, 4]
    told = [json.loads(one.payload) for each in (spool, other) for one in each.after(0, 100)]
    assert len({one["id"] for one in told}) == 10
    assert [one["number"] for one in told] == [1, 2, 3, 4, 5] * 2
    assert [one.number for one in spool.after(2, 2)] == [3, 4]
    other.close()


def test_a_message_goes_when_every_reader_has_it(spool: Spool) -> None:
    spool.keep_readers(["fast", "slow"])
    spool.add(messages(4))
    spool.acknowledge("fast", 4)
    assert (spool.waiting, bodies(spool)) == (4, [0, 1, 2, 3])
    spool.acknowledge("slow", 2)
    assert (spool.waiting, bodies(spool)) == (2, [2, 3])
    spool.acknowledge("slow", 1)  # not back
    assert spool.acknowledged("slow") == 2
    spool.keep_readers(["fast"])
    assert (spool.waiting, bodies(spool)) == (0, [])


def test_a_new_reader_begins_with_what_comes_and_an_old_one_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    first = Spool(path)
    first.keep_readers(["old"])
    first.add(messages(3))
    first.acknowledge("old", 1)
    first.close()
    second = Spool(path)
    second.keep_readers(["old", "new"])
    assert (second.id, second.waiting) == (first.id, 2)
    assert (second.acknowledged("old"), second.acknowledged("new")) == (1, 3)
    second.add(messages(1, first=3))
    assert bodies(second, second.acknowledged("new")) == [3]
    with pytest.raises(sqlite3.OperationalError, match="unknown is not among those that read"):
        second.acknowledged("unknown")
    second.close()


def test_numbers_are_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    numbers = []
    for _ in range(3):
        spool = Spool(path)
        spool.keep_readers(["a"])
        spool.add(messages(2))
        numbers += [one.number for one in spool.after(spool.acknowledged("a"), 10)]
        spool.acknowledge("a", numbers[-1])
        spool.close()
    assert numbers == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("bound", ["messages", "bytes"])
def test_when_it_is_full_the_oldest_go_and_are_counted(tmp_path: Path, bound: str) -> None:
    size = len(messages(1)[0].body)
    limits = {"most_messages": 50} if bound == "messages" else {"most_bytes": 50 * size}
    spool = Spool(tmp_path / "spool.sqlite", **limits)
    spool.keep_readers(["a"])
    lost = 0
    for number in range(9):
        lost += spool.add(messages(1, first=number))
    assert (lost, spool.roomy) == (0, True)
    for first in range(9, 90, 9):
        lost += spool.add(messages(9, first=first))
        assert not spool.roomy or first < 25
    left = bodies(spool)
    assert len(left) <= 50
    assert left == list(range(90 - len(left), 90))
    assert lost == 90 - len(left)
    assert len(left) >= 40  # no more went than was needed, but for a step
    spool.close()


def test_one_message_larger_than_all_that_may_wait_is_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", most_bytes=100)
    spool.keep_readers(["a"])
    assert spool.add([Message("reloaded", None, json.dumps({"what": "x" * 1000}))]) == 0
    assert spool.waiting == 1
    spool.close()


def test_any_sequence_of_calls_does_what_lists_do(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "spool.sqlite"
    spool = Spool(path)
    readers: dict[str, int] = {}
    waiting: list[tuple[int, int]] = []
    last = 0
    for step in range(150):
        match rng.integers(6):
            case 0:
                names = {name for name in "abc" if rng.random() < 0.6}
                spool.keep_readers(names)
                readers = {name: readers.get(name, last) for name in names}
            case 1 | 2:
                count = int(rng.integers(1, 4))
                spool.add(messages(count, first=step))
                waiting += [(last + 1 + index, step + index) for index in range(count)]
                last += count
            case 3 | 4 if readers:
                name = str(rng.choice(sorted(readers)))
                number = int(rng.integers(readers[name], last + 1)) if last > readers[name] else last
                spool.acknowledge(name, number)
                readers[name] = max(readers[name], number)
            case 5:
                spool.close()
                spool = Spool(path)
        if step and rng.random() < 0.5:  # a reader left, or has come on
            spool.keep_readers(readers)
            least = min(readers.values(), default=last)
            waiting = [one for one in waiting if one[0] > least]
            assert [(one.number, json.loads(one.payload)["what"]) for one in spool.after(0, 10**6)] == waiting
            assert spool.waiting == len(waiting)
            assert {name: spool.acknowledged(name) for name in readers} == readers
    spool.close()


def test_threads_lose_nothing(spool: Spool) -> None:
    spool.keep_readers(["a", "b"])
    seen: dict[str, list[int]] = {"a": [], "b": []}

    def write(first: int) -> None:
        for number in range(50):
            spool.add(messages(1, first=first + number))

    def read(name: str) -> None:
        while len(seen[name]) < 200:
            for one in spool.after(spool.acknowledged(name), 7):
                seen[name].append(json.loads(one.payload)["what"])
                spool.acknowledge(name, one.number)

    threads = [threading.Thread(target=write, args=(1000 * number,)) for number in range(4)]
    threads += [threading.Thread(target=read, args=(name,)) for name in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert sorted(seen["a"]) == sorted(1000 * n + m for n in range(4) for m in range(50))
    assert seen["a"] == seen["b"]
    assert spool.waiting == 0


def test_a_second_process_or_spool_is_refused(spool: Spool) -> None:
    assert spool.path is not None
    with pytest.raises(SpoolInUseError, match=f"^another nightday-stream uses {spool.path}$"):
        Spool(spool.path)


def test_only_the_owner_may_read_it(spool: Spool) -> None:
    assert spool.path is not None
    assert spool.path.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("junk", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_told(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "spool.sqlite"
    path.write_bytes(junk)
    with pytest.raises(sqlite3.DatabaseError):
        Spool(path)
    path.unlink()
    Spool(path).close()  # it held no lock


def test_without_a_path_all_is_in_memory(tmp_path: Path) -> None:
    spool = Spool(None)
    spool.keep_readers(["a"])
    spool.add(messages(2))
    assert bodies(spool) == [0, 1]
    spool.close()
    with pytest.raises(sqlite3.Error):
        spool.after(0, 1)


def test_values_are_remembered_beside_the_messages(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    spool = Spool(path)
    assert spool.recall("topics") is None
    spool.remember("topics", "a")
    spool.remember("topics", "b")
    spool.close()
    spool = Spool(path)
    assert spool.recall("topics") == "b"
    spool.close()


CHILD = """
import sys
from pathlib import Path
from nightday.pipeline.monitoring.notify.message import Message
from nightday.pipeline.monitoring.notify.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.keep_readers(["a"])
number = spool.waiting
while True:
    spool.add([Message("reloaded", None, '{"what": %d}' % number)])
    number += 1
    print(number, flush=True)
"""


def test_what_was_written_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    said = 0
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert child.stdout is not None
        for _ in range(30):
            said = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split()
        said = int(rest[-1]) if rest else said
        child.wait(WAIT)
        child.stdout.close()
    spool = Spool(path)
    kept = bodies(spool)
    assert kept == list(range(len(kept)))
    assert len(kept) in (said, said + 1)  # it may have been killed between writing and saying so
    spool.close()


def test_what_comes_from_a_journal_is_taken_once_and_numbers_of_ones_own_are_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite")
    spool.keep_readers(["a"])

    def of(journal: str, *numbers: int) -> list[Message]:
        return [
            Message("reloaded", None, f'{{"what": {number}}}', origin=(journal, number)) for number in numbers
        ]

    spool.add([*of("x", 1, 2), *messages(1, first=100), *of("y", 1)])
    spool.add(of("x", 2, 3, 3))
    spool.acknowledge("a", 10)  # what was sent is known all the same
    spool.close()
    spool = Spool(tmp_path / "spool.sqlite")
    spool.add(of("x", 1, 2, 3, 4))
    assert bodies(spool) == [4]
    spool.close()
    journal = Spool(tmp_path / "journal.sqlite")
    journal.keep_readers(["a"])
    numbered = [Message("reloaded", None, '{"what": 1}', number=number) for number in (3, 7)]
    journal.add(numbered)
    journal.add(numbered)
    assert [one.number for one in journal.after(0, 10)] == [3, 7]
    journal.close()
