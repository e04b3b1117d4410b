"""Engines that the previous release compiled are used as long as their graph is what it was."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nightday.engines.cache import previous_release
from nightday.engines.cache.engine_cache import EngineCache
from tests.engines.cache.test_engine_cache import KEY, Builder, whole

NEW = replace(KEY, graph="b" * 64)
OLD = replace(KEY, graph="a" * 64)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setattr(previous_release, "GRAPHS", {NEW.graph[:24]: OLD.graph})
    return EngineCache(tmp_path / "engines")


def test_what_is_there_already_is_not_built_again(cache: EngineCache) -> None:
    folder = cache.fetch(OLD, Builder(b"of before"))
    build = Builder(b"of now")
    assert cache.fetch(NEW, build, label="gate.pt") == folder
    assert build.times == 0
    assert [entry.key for entry in cache.entries()] == [OLD]
    assert whole(
        cache.fetch(replace(NEW, precision="fp32"), build), b"of now"
    )  # nothing else is taken for it
    assert build.times == 1


def test_a_graph_that_has_changed_since_is_built_and_the_old_one_is_listed_and_pruned(
    cache: EngineCache,
) -> None:
    cache.fetch(OLD, Builder())
    changed = replace(KEY, graph="c" * 64)
    build = Builder()
    assert whole(cache.fetch(changed, build))
    assert build.times == 1
    assert [entry.key for entry in cache.entries()] == [OLD, changed]
    assert [entry.key for entry in cache.prune(everything=True)] == [OLD, changed]
    assert list(cache.folder.iterdir()) == []


def test_a_damaged_one_is_built_anew(cache: EngineCache) -> None:
    folder = cache.fetch(OLD, Builder())
    (folder / "engine.bin").write_bytes(b"comp")
    build = Builder(b"of now")
    assert whole(cache.fetch(NEW, build), b"of now")
    assert build.times == 1
    assert whole(cache.fetch(NEW, build), b"of now")
    assert build.times == 1


def test_both_are_dropped(cache: EngineCache) -> None:
    cache.fetch(OLD, Builder())
    cache.drop(NEW)
    assert cache.entries() == []
    build = Builder()
    cache.fetch(NEW, build)
    assert build.times == 1


def test_the_table_holds_digests() -> None:
    assert all(re.fullmatch("[0-9a-f]{24}", graph) for graph in previous_release.GRAPHS)
    assert all(re.fullmatch("[0-9a-f]{64}", graph) for graph in previous_release.GRAPHS.values())
    olds = list(previous_release.GRAPHS.values())
    assert all(
        olds.count(old) <= 2 for old in olds
    )  # a graph with blending and the same without were one then
