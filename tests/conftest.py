"""What every test starts from, and the markers that tests get by what they use."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

# Small arrays gain nothing from threads, and beside other work threads that spin for each other cost tenfold.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
# OpenVINO reports over the network that it is used, and forks this process to do so, unless this module is missing.
# The engines see to that, but some test modules import OpenVINO before them.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from nightday.pipeline.core import camera_url  # noqa: E402
from tests.support.reach import reached  # noqa: E402

# A test that uses one of these, directly or through helpers and fixtures of the tests, gets the marker.
MARKED_BY_USE = {
    "server": {"tests.support.rtsp_server.RtspServer", "tests.support.relay.Relay"},
    "training": {
        "nightday.train.run.trainer.Trainer",
        "benchmarks.study.run.run_one",
        "benchmarks.study.rivals.Cut",
        "benchmarks.study.rivals.CycleGan",
    },
    "alone": {"tests.faults.usage.Usage"},
}
# OpenVINO's threads are pinned to cores and spin while they wait. Two processes that use it at a time share the same
# cores and take many times as long, so when several processes run the tests, one of them runs all of these.
ONE_PROCESS = {
    "nightday.engines.selection.load.load_engine",
    "nightday.engines.selection.candidate_engines.CandidateEngines",
    "nightday.engines.backends.openvino.engine.OpenVinoEngine",
}
# What compiles engines, loads a detector, trains on footage or breaks things on purpose takes seconds.
SLOW_FOLDERS = {"backends", "detection", "faults", "train", "trt"}
TESTS = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out folders of slow tests where none of these is to run: merely importing them takes seconds."""
    if _slow_folder(collection_path) and "not slow" in config.getoption("markexpr"):
        return True
    return None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a test the markers of what it uses, and the name of its group if one process is to run that whole."""
    of_tensorrt = "trt" in item.path.parts
    if of_tensorrt:  # they share one long conversion
        item.add_marker(pytest.mark.xdist_group("tensorrt"))
    if isinstance(item, pytest.Function):
        fixtures = [
            fixture.func for known in item._fixtureinfo.name2fixturedefs.values() for fixture in known
        ]
        used = {_full_name(thing) for thing in reached([item.function, *fixtures])}
        for marker, names in MARKED_BY_USE.items():
            if used & names:
                item.add_marker(marker)
        if used & ONE_PROCESS and not of_tensorrt:
            item.add_marker(pytest.mark.xdist_group("openvino"))
        if used & ONE_PROCESS or _slow_folder(item.path):
            item.add_marker(pytest.mark.slow)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes seconds comes first: else one process runs it when the others have nothing left to do.

    pytest-xdist begins with the groups, whose tests compute. Those with a server mostly wait, so they come beside.
    """
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if "trt" in item.path.parts:  # the longest group
        return 0
    markers = ("server", "training", "slow")
    return next((at for at, name in enumerate(markers, 1) if item.get_closest_marker(name)), len(markers) + 1)


def _slow_folder(path: Path) -> bool:
    return path.is_relative_to(TESTS) and not SLOW_FOLDERS.isdisjoint(path.relative_to(TESTS).parts)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail rather than run for twice as long: pytest-xdist 3.8 silently ignores all groups with pytest 9.2."""
    grouped = next((item for item in session.items if item.get_closest_marker("xdist_group")), None)
    if session.config.getoption("loadgroup", None) and grouped and "@" not in grouped.nodeid.split("]")[-1]:
        raise pytest.UsageError(
            "pytest-xdist ignores the groups of tests; install the versions of requirements.lock"
        )
    # Whatever looks for garbage need not go through all that was imported and collected.
    gc.freeze()


def _full_name(thing: object) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are others each time; the seed is shown where a test fails."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process redacts the secrets it has met; one test's are nothing to the next."""
    monkeypatch.setattr(camera_url, "_secrets", {})


@pytest.fixture(autouse=True)
def ffmpeg_is_silent() -> None:
    """FFmpeg's log is the process's: a test that turned it on would fill the next one's."""
    if (ffmpeg_log := sys.modules.get("av.logging")) is not None:
        ffmpeg_log.set_level(None)


@pytest.fixture(autouse=True)
def log_levels_are_as_before() -> Iterator[None]:
    """A test that runs the whole command sets up logging; the next one would have records that it did not ask for."""
    loggers = [
        logging.getLogger(name)
        for name in ("", *list(logging.Logger.manager.loggerDict))
        if not name or name.startswith("nightday")
    ]
    before = [(logger, logger.level) for logger in loggers]
    yield
    for logger, level in before:
        logger.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def engine_cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's cache, and one that loads an engine measures it for those after it.

    Processes that run tests side by side share it.
    """
    shared = "PYTEST_XDIST_WORKER" in os.environ
    folder = tmp_path_factory.getbasetemp().parent / "cache" if shared else tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield
