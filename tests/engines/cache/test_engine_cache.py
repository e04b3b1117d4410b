"""Engines on disk: built once, never loaded when torn, bounded."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from nightday.engines.cache import engine_cache as module
from nightday.engines.cache.code_digest import graph_digest
from nightday.engines.cache.engine_cache import EngineCache, EngineKey
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import LIGHT

KEY = EngineKey(
    checkpoint="c1",
    graph="g1",
    shape=(8, 288, 352),
    backend="openvino",
    version="2026.4.1",
    precision="bf16",
    device="AMD EPYC, AVX512",
    driver="",
    flags=(("hint", "latency"),),
)


class Builder:
    """Writes two files of known content; counts how often."""

    def __init__(self, content: bytes = b"compiled") -> None:
        self.content, self.times = content, 0

    def __call__(self, folder: Path) -> None:
        assert list(folder.iterdir()) == []
        self.times += 1
        (folder / "engine.bin").write_bytes(self.content)
        (folder / "part").mkdir()
        (folder / "part" / "weights.bin").write_bytes(self.content[::-1])


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def whole(folder: Path, content: bytes = b"compiled") -> bool:
    return (folder / "engine.bin").read_bytes() == content and (
        folder / "part" / "weights.bin"
    ).read_bytes() == content[::-1]


def test_built_once_and_described(cache: EngineCache) -> None:
    build = Builder()
    folder = cache.fetch(KEY, build, label="gate.pt")
    assert whole(folder)
    assert EngineCache(cache.folder).fetch(KEY, build) == folder
    assert build.times == 1
    (entry,) = cache.entries()
    assert (entry.folder, entry.key, entry.label) == (folder, KEY, "gate.pt")
    assert (entry.files, entry.size) == (("engine.bin", "part/weights.bin"), 16)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["key"]["device"] == "AMD EPYC, AVX512"  # for people to read


def test_everything_in_the_key_tells_engines_apart() -> None:
    others = [
        EngineKey.of({**asdict(KEY), name: "other"})
        for name in ("checkpoint", "graph", "backend", "version", "precision", "device", "driver")
    ]
    others += [replace(KEY, shape=(8, 352, 288)), replace(KEY, shape=(1, 288, 352)), replace(KEY, flags=())]
    assert len({str(key) for key in (KEY, *others)}) == len(others) + 1
    assert str(KEY) == str(EngineKey.of(json.loads(json.dumps(asdict(KEY)))))


def test_the_graph_is_the_source_it_is_made_by(tmp_path: Path) -> None:
    model = NightToDay(LIGHT)
    backend = tmp_path / "backend.py"
    backend.write_text("a = 1")
    before = graph_digest(model, str(backend))
    assert before == graph_digest(NightToDay(LIGHT), str(backend))
    assert before != graph_digest(model)
    backend.write_text("a = 2")
    assert before != graph_digest(model, str(backend))


# --- several processes ------------------------------------------------------------------------------------------

PROCESS = """
import sys
from pathlib import Path
from nightday.engines.cache.engine_cache import EngineCache
from tests.engines.cache.test_engine_cache import KEY

def say(text):
    print(text, flush=True)

def build(folder):
    (folder / "engine.bin").write_bytes(b"half")
    say("building")
    sys.stdin.readline()
    (folder / "engine.bin").write_bytes(b"whole, of " + sys.argv[2].encode())

folder = EngineCache(Path(sys.argv[1])).fetch(KEY, build, progress=lambda text: say("waiting"))
say((folder / "engine.bin").read_text())
"""


class Process:
    """Another process that fetches KEY: says "building" or "waiting", builds on when told to."""

    def __init__(self, cache: EngineCache, name: str) -> None:
        command = [sys.executable, "-c", PROCESS, str(cache.folder), name]
        pipe, root = subprocess.PIPE, Path(__file__).parents[3]
        self.process = subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True)

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def start(cache: EngineCache) -> Iterator[Callable[[str], Process]]:
    started: list[Process] = []

    def one(name: str) -> Process:
        started.append(Process(cache, name))
        return started[-1]

    yield one
    for process in started:
        process.kill()


@pytest.mark.slow
def test_two_processes_build_once(start: Callable[[str], Process]) -> None:
    first = start("first")
    assert first.hear() == "building"
    second = start("second")
    assert second.hear() == "waiting"
    first.go_on()
    assert first.hear() == "whole, of first"
    assert second.hear() == "whole, of first"


@pytest.mark.slow
def test_what_a_killed_process_built_is_not_loaded(
    cache: EngineCache, start: Callable[[str], Process]
) -> None:
    first = start("first")
    assert first.hear() == "building"
    second = start("second")
    assert second.hear() == "waiting"
    first.kill()
    assert second.hear() == "building"  # whoever waited takes over
    second.kill()
    assert cache.entries() == []
    build = Builder()
    assert whole(cache.fetch(KEY, build))
    assert build.times == 1
    assert not list(cache.folder.glob("*.part"))


@pytest.mark.slow
def test_what_is_being_built_is_not_pruned(cache: EngineCache, start: Callable[[str], Process]) -> None:
    other = replace(KEY, precision="fp32")
    cache.fetch(other, Builder())
    first = start("first")
    assert first.hear() == "building"
    assert [entry.key for entry in cache.prune(everything=True)] == [other]
    first.go_on()
    assert first.hear() == "whole, of first"
    assert [entry.key for entry in cache.entries()] == [KEY]


def test_threads_build_once_while_entries_come_and_go(cache: EngineCache) -> None:
    build, wrong = Builder(), list[Path]()

    def fetch() -> None:
        for _ in range(20):
            if not (folder := cache.fetch(KEY, build)).is_dir():
                wrong.append(folder)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.times == 1
    assert not wrong


# --- torn and stale ---------------------------------------------------------------------------------------------


def _flip(path: Path) -> None:
    found = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _of_another(manifest: Path) -> None:
    told = json.loads(manifest.read_text())
    told["key"]["driver"] = "other"
    manifest.write_text(json.dumps(told))


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "engine.bin").write_bytes(b"comp"),
        lambda folder: _flip(folder / "part" / "weights.bin"),
        lambda folder: (folder / "engine.bin").unlink(),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text('{"key": {}}'),
        lambda folder: (folder / "manifest.json").write_text((folder / "manifest.json").read_text()[:200]),
        lambda folder: (folder / "manifest.json").write_bytes(b"\xff[]"),
        lambda folder: _of_another(folder / "manifest.json"),
    ],
    ids=["short", "flipped", "missing", "no manifest", "empty", "torn manifest", "noise", "stale"],
)
def test_what_is_torn_or_stale_is_built_anew(cache: EngineCache, harm: Callable[[Path], object]) -> None:
    build, said = Builder(), list[str]()
    folder = cache.fetch(KEY, build)
    harm(folder)
    cache.entries()  # whatever is there
    assert whole(cache.fetch(KEY, build, label="gate.pt", progress=said.append))
    assert build.times == 2
    assert len(said) == 1
    assert "gate.pt" in said[0]


def test_what_building_raises_is_raised_and_leaves_nothing(cache: EngineCache) -> None:
    def fails(folder: Path) -> None:
        (folder / "half.bin").write_bytes(b"half")
        raise ArithmeticError("no kernel")

    with pytest.raises(ArithmeticError, match="no kernel"):
        cache.fetch(KEY, fails)
    assert cache.entries() == []
    assert whole(cache.fetch(KEY, Builder()))


# --- bounds -----------------------------------------------------------------------------------------------------


def fill(cache: EngineCache, ages: dict[int, float]) -> None:
    """An entry of 16 bytes for each height, last used so many seconds ago."""
    for height, age in ages.items():
        folder = cache.fetch(replace(KEY, shape=(8, height, 16)), Builder())
        found = (folder / "manifest.json").stat()
        os.utime(folder / "manifest.json", (found.st_atime, found.st_mtime - age))


def heights(cache: EngineCache) -> set[int]:
    return {entry.key.shape[1] for entry in cache.entries() if entry.key is not None}


def test_unused_for_longest_go_first(cache: EngineCache) -> None:
    seed = int(np.random.default_rng().integers(2**32))
    print("seed", seed)
    ages = {int(h): 100.0 * (i + 1) for i, h in enumerate(np.random.default_rng(seed).permutation(6) + 16)}
    fill(cache, ages)
    by_age = sorted(ages, key=lambda height: -ages[height])
    cache.fetch(replace(KEY, shape=(8, by_age[0], 16)), Builder())  # the oldest is used again
    small = EngineCache(cache.folder, max_bytes=16 * 4)
    small.fetch(replace(KEY, shape=(8, 99, 16)), Builder())
    assert heights(cache) == {99, by_age[0], *by_age[-2:]}


def test_one_larger_than_the_bound_is_kept_all_the_same(cache: EngineCache) -> None:
    fill(cache, {16: 10})
    assert whole(EngineCache(cache.folder, max_bytes=1).fetch(KEY, Builder()))
    assert heights(cache) == {288}


def test_prune(cache: EngineCache) -> None:
    fill(cache, {16: 30, 17: 20, 18: 10})
    assert cache.prune() == []
    assert [entry.size for entry in cache.prune(older_than=25)] == [16]
    assert heights(cache) == {17, 18}
    cache.prune(max_bytes=31)
    assert heights(cache) == {18}
    cache.drop(replace(KEY, shape=(8, 18, 16)))
    assert heights(cache) == set()
    fill(cache, {16: 0})
    (cache.folder / ("f" * 32)).mkdir()  # somebody's leftover
    assert len(cache.prune(everything=True)) == 2
    assert list(cache.folder.iterdir()) == []


# --- a folder that cannot be used -------------------------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has met no fault yet."""
    monkeypatch.setattr(module, "_warned", set())
    monkeypatch.setattr(module, "_spare", [])


def blocked(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()  # permissions would not stop root
    return tmp_path / "file" / "engines"


def open_to_all(tmp_path: Path) -> Path:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    return tmp_path / "open"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("folder", [blocked, open_to_all])
def test_a_folder_that_cannot_be_used_stops_no_engine(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, folder: Callable[[Path], Path]
) -> None:
    cache, build = EngineCache(folder(tmp_path)), Builder()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert whole(cache.fetch(KEY, build))
        assert whole(cache.fetch(replace(KEY, precision="fp32"), build))
    assert build.times == 2  # the process keeps what it built
    assert [record.getMessage() for record in caplog.records if str(cache.folder) in record.getMessage()] == [
        record.getMessage() for record in caplog.records
    ]
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("says_so", [True, False])
def test_a_full_disk_stops_no_engine(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch, says_so: bool
) -> None:
    if not says_so:  # OpenVINO's exporter, for one, raises RuntimeError
        monkeypatch.setattr(module, "NO_ROOM", 2**63)
    build = Builder()

    def build_where_there_is_room(folder: Path) -> None:
        if folder.is_relative_to(cache.folder):
            (folder / "engine.bin").write_bytes(b"half")
            raise (
                OSError(errno.ENOSPC, "No space left on device") if says_so else RuntimeError("write failed")
            )
        build(folder)

    assert whole(cache.fetch(KEY, build_where_there_is_room))
    assert cache.entries() == []
