"""Events in a file: each once and in order, whatever happens to the process and the file."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.monitoring.notify.file import FileSink
from nightday.pipeline.monitoring.notify.spool import Spool
from tests.pipeline.monitoring.notify.spooled import around, messages, until
from tests.support.media_helpers import Events
from tests.support.rtsp_server import WAIT


def sink_of(spool: Spool, told: Events, path: Path, *, most_bytes: int = 10**6, keep: int = 3) -> FileSink:
    spool.keep_readers(["file"])
    return FileSink(path, most_bytes=most_bytes, keep=keep, around=around(spool, told))


def finish(sink: FileSink) -> None:
    sink.finish()
    sink.join(WAIT)
    assert not sink.is_alive()


def lines(*paths: Path) -> list[int]:
    return [json.loads(line)["what"] for path in paths for line in path.read_bytes().splitlines()]


def test_every_event_is_a_line(spool: Spool, told: Events, tmp_path: Path) -> None:
    path = tmp_path / "new" / "events.jsonl"
    sink = sink_of(spool, told, path)
    spool.add(messages(250))
    sink.start()
    until(lambda: spool.waiting == 0)
    spool.add(messages(3, first=250))
    sink.wake()
    until(lambda: spool.waiting == 0)
    assert lines(path) == list(range(253))
    assert json.loads(path.read_bytes().splitlines()[0]) == {"id": f"{spool.id}-1", "number": 1, "what": 0}
    finish(sink)
    assert list(told) == []


def test_a_full_file_is_put_aside_and_the_oldest_go(spool: Spool, told: Events, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = sink_of(spool, told, path, most_bytes=1000, keep=2)
    sink.start()
    spool.add(messages(100))
    finish(sink)
    kept = [tmp_path / "events.jsonl.2", tmp_path / "events.jsonl.1", path]
    assert sorted(tmp_path.glob("events.jsonl*")) == sorted(kept)
    assert all(one.stat().st_size <= 1000 for one in kept)
    told_of = lines(*kept)
    assert told_of == list(range(100 - len(told_of), 100))


def test_with_none_to_keep_a_full_file_begins_anew(spool: Spool, told: Events, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = sink_of(spool, told, path, most_bytes=1000, keep=0)
    sink.start()
    spool.add(messages(100))
    finish(sink)
    assert list(tmp_path.glob("events.jsonl*")) == [path]
    assert lines(path)[-1] == 99


def test_a_file_that_another_program_puts_aside_is_begun_anew(
    spool: Spool, told: Events, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    sink = sink_of(spool, told, path)
    sink.start()
    spool.add(messages(3))
    sink.wake()
    until(lambda: spool.waiting == 0)
    path.rename(tmp_path / "rotated")
    spool.add(messages(3, first=3))
    finish(sink)
    assert (lines(tmp_path / "rotated"), lines(path)) == ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize("torn", [b"", b'{"id": "x-9", "wh', b"\xff\xfe", b"{}\n", b"no json\n", b"7\n"])
def test_what_was_in_the_file_stays_and_a_torn_line_goes(
    spool: Spool, told: Events, tmp_path: Path, torn: bytes
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"what": -1}\n' + torn)
    sink = sink_of(spool, told, path)
    sink.start()
    spool.add(messages(2))
    finish(sink)
    *before, last, _ = path.read_bytes().splitlines()
    assert before == [b'{"what": -1}'] + ([torn.strip()] if torn.endswith(b"\n") else [])
    assert json.loads(last)["what"] == 0


def test_what_was_written_and_not_acknowledged_is_not_written_again(
    spool: Spool, told: Events, tmp_path: Path, rng: np.random.Generator
) -> None:
    """As after a process was killed between the two: the spool is behind, the last line may be torn."""
    path = tmp_path / "events.jsonl"
    spool.keep_readers(["file"])
    spool.add(messages(20))
    whole = b"".join(one.data + b"\n" for one in spool.after(0, 20))
    path.write_bytes(whole[: rng.integers(len(whole))])
    sink = sink_of(spool, told, path)
    sink.start()
    finish(sink)
    assert path.read_bytes() == whole


def test_a_folder_that_is_away_is_waited_for(spool: Spool, told: Events, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.write_text("no folder")
    sink = sink_of(spool, told, folder / "events.jsonl")
    sink.start()
    spool.add(messages(2))
    sink.wake()
    failed = told.wait_for(lambda one: one.name == "notify_failed")
    assert failed.detail == f"events wait, as {folder}/events.jsonl does not take them: Not a directory" or (
        failed.detail == f"events wait, as {folder}/events.jsonl does not take them: File exists"
    )
    folder.unlink()
    told.wait_for(lambda one: one.name == "notify_connected")
    assert lines(folder / "events.jsonl") == [0, 1]
    assert len(told) == 2
    finish(sink)


CHILD = """
import random, sys
from pathlib import Path
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.monitoring.notify.file import FileSink
from nightday.pipeline.monitoring.notify.message import Message
from nightday.pipeline.monitoring.notify.sink import Surroundings
from nightday.pipeline.monitoring.notify.spool import Spool
folder = Path(sys.argv[1])
spool = Spool(folder / "spool.sqlite")
spool.keep_readers(["file"])
around = Surroundings(spool, print, SystemClock(), random.Random())
sink = FileSink(folder / "events.jsonl", most_bytes=20_000, keep=100, around=around)
sink.start()
first = int(sys.argv[2])
for number in range(first, first + 100_000):
    spool.add([Message("reloaded", None, '{"what": %d}' % number)])
    sink.wake()
    print(number, flush=True)
"""


def test_a_killed_process_leaves_every_event_once_and_in_order(tmp_path: Path, told: Events) -> None:
    for run in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(run * 100_000)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert child.stdout is not None
        for _ in range(200):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.wait(WAIT)
        child.stdout.close()
    spool = Spool(tmp_path / "spool.sqlite")
    spool.keep_readers(["file"])
    sink = FileSink(tmp_path / "events.jsonl", most_bytes=20_000, keep=100, around=around(spool, told))
    sink.start()
    finish(sink)
    files = sorted(
        tmp_path.glob("events.jsonl*"),
        key=lambda path: -int(path.suffix[1:]) if path.suffix[1:].isdigit() else 0,
    )
    found = lines(*files)
    ends = [0, *(index for index in range(1, len(found)) if found[index] != found[index - 1] + 1), len(found)]
    assert len(ends) == 4
    for run, (begin, end) in enumerate(itertools.pairwise(ends)):
        assert found[begin:end] == list(range(run * 100_000, run * 100_000 + end - begin))
        assert end - begin >= 200
    spool.close()
