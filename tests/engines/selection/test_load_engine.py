"""Which engine ``load_engine`` takes, with backends whose error and speed are known, and with the real ones."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nightday.engines import EngineError, load_engine
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.selection import load
from tests.support.known_backend import Backends, install, tiny_model

MODEL = Path(__file__).parents[3] / "weights" / "a1_barnet.pt"


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> Backends:
    return install(monkeypatch)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny.pt")


@pytest.fixture
def loaded(backends: Backends, model: Path, tmp_path: Path) -> Callable[..., str]:
    """Loads it anew, as another process would, and says what serves."""

    def one(backend: str = "auto", precision: str = "auto") -> str:
        cache = EngineCache(tmp_path / "engines")
        info = load_engine(
            model,
            backend,  # type: ignore[arg-type]
            precision,  # type: ignore[arg-type]
            cache=cache,
            clock=backends.clock,
        ).info
        assert info.model == "tiny.pt"
        return f"{info.backend} {info.precision}"

    return one


def test_auto_takes_the_fastest_that_is_faithful(backends: Backends, loaded: Callable[..., str]) -> None:
    backends.have = {"int8": (20, 5.0), "bf16": (1, 20.0), "fp32": (0, 30.0)}  # int8: 22 dB
    assert loaded() == "openvino bf16"
    assert loaded(precision="fp32") == "openvino fp32"
    assert loaded("openvino") == "openvino bf16"
    backends.have["int8"] = (3, 5.0)
    backends.released = "2.0"
    assert loaded() == "openvino int8"
    backends.eager_ms, backends.released = 4.0, "3.0"
    assert loaded("openvino") == "openvino int8"  # told so, slower than eager or not


def test_it_measures_once(
    backends: Backends, loaded: Callable[..., str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    backends.have = {"int8": (20, 5.0), "fp32": (0, 30.0)}
    with caplog.at_level(logging.INFO):
        assert loaded() == "openvino fp32"
    assert {*backends.measured} == {"int8", "fp32", "eager"}
    chosen = [r.getMessage() for r in caplog.records if getattr(r, "event", "") == "engine_chosen"]
    assert len(chosen) == 1  # one line says what and why
    assert (
        "tiny.pt: using openvino fp32, 30.0 ms a frame, the same picture as eager fp32 (100.0 dB); "
        "not used: openvino int8: 2"
    ) in chosen[0]
    assert "at least 32 are wanted; eager fp32: 50.0 ms a frame, 100.0 dB" in chosen[0]
    backends.measured.clear()
    assert [loaded(), loaded("openvino", "fp32"), loaded(precision="fp32")] == ["openvino fp32"] * 3
    assert backends.measured == []
    backends.released = "2.0"  # another OpenVINO: only what it made is measured again
    backends.eager_ms = 7.0
    loaded()
    assert {*backends.measured} == {"int8", "fp32", "eager"}
    backends.measured.clear()
    (tmp_path / "file").touch()
    for _ in range(2):  # nothing can be kept on disk: once a process
        load_engine(tmp_path / "tiny.pt", cache=EngineCache(tmp_path / "file" / "engines"))
    assert sorted(backends.measured) == ["eager", "fp32", "int8"]


def test_it_measures_for_twenty_seconds_and_goes_on_at_the_next_start(
    backends: Backends, loaded: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    backends.have = {"int8": (1, 20.0), "fp16": (1, 10.0), "bf16": (1, 15.0), "fp32": (0, 40.0)}
    backends.seconds = {"int8": 19.0, "fp16": 2.0, "bf16": 10.0, "fp32": 19.9}
    with caplog.at_level(logging.INFO):
        assert loaded() == "openvino int8"
    assert backends.now == 21.0  # fp16 was begun and not measured, bf16 was not begun
    assert {*backends.measured} == {"int8", "eager"}
    said = [r.getMessage() for r in caplog.records if getattr(r, "event", "").startswith("engine_")]
    assert said[1] == "tiny.pt: measuring openvino int8, once on this machine"
    assert re.fullmatch(
        r"tiny\.pt: openvino int8 takes 20\.0 ms a frame, 4\d\.\d dB to eager fp32; measured in \d+\.\d s",
        said[2],
    )
    assert said[-1].endswith(
        "not used: eager fp32: 50.0 ms a frame, 100.0 dB; not measured in the time for it, but at the next start: "
        "openvino fp16, openvino bf16, openvino fp32. nightday-engine qualify measures again"
    )

    for measured, seconds in (
        ({"fp16", "bf16", "eager"}, 2.0 + 10.0 + 19.9),
        ({"fp32", "eager"}, 2.0 + 19.9),
    ):
        backends.measured.clear()
        backends.now = 0
        assert loaded() == "openvino fp16"
        assert {*backends.measured} == measured  # and what is known from before is not
        assert backends.now == seconds  # 2.0 for fp16 each time: measured, then because it serves


def test_it_measures_no_longer_than_told(
    backends: Backends, loaded: Callable[..., str], tmp_path: Path
) -> None:
    backends.have = {"int8": (1, 20.0), "fp32": (0, 10.0)}
    backends.seconds = {"int8": 19.0, "fp32": 19.9}
    cache = EngineCache(tmp_path / "engines")
    for expected in ({"int8", "eager"}, set()):  # the first because nothing was measured yet
        backends.measured.clear()
        assert load_engine(tmp_path / "tiny.pt", cache=cache, measure_for=0.0).info.precision == "int8"
        assert {*backends.measured} == expected
    assert loaded() == "openvino fp32"


def test_it_measures_for_as_long_as_nothing_matches(backends: Backends, loaded: Callable[..., str]) -> None:
    backends.have = {"int8": (20, 20.0), "bf16": (20, 10.0), "fp32": (0, 40.0)}
    backends.seconds = dict.fromkeys(backends.have, 30.0)
    assert loaded("openvino") == "openvino fp32"
    assert {*backends.measured} == {"int8", "bf16", "fp32", "eager"}


def test_what_is_told_must_be_faithful(backends: Backends, loaded: Callable[..., str]) -> None:
    backends.have = {"int8": (20, 5.0), "bf16": (10, 90.0)}
    with pytest.raises(
        EngineError,
        match=r"precision int8: tiny\.pt gives another picture .*2\d\.\d dB.*; use precision auto",
    ):
        loaded("openvino", "int8")
    with pytest.raises(EngineError, match=r"^backend openvino: .*int8.*bf16.*backend eager"):
        loaded("openvino")
    with pytest.raises(EngineError, match=r"^precision fp16: openvino does not run it"):
        loaded("openvino", "fp16")
    with pytest.raises(EngineError, match=r"^precision fp16: this machine has nothing"):
        loaded(precision="fp16")
    assert loaded() == "eager fp32"
    backends.have["bf16"], backends.released = (1, 90.0), "2.0"
    assert loaded("openvino", "bf16") == "openvino bf16"  # slow, but told so


def test_what_cannot_be_run_is_passed_over(backends: Backends, loaded: Callable[..., str]) -> None:
    backends.have, backends.breaks = {"int8": (0, 5.0), "fp32": (0, 30.0)}, {"int8"}
    assert loaded() == "openvino fp32"
    with pytest.raises(MemoryError):
        loaded("openvino", "int8")
    backends.breaks = set()
    assert (
        loaded("openvino", "int8") == "openvino int8"
    )  # what failed once is tried again where it was asked for


def test_the_reference_itself_is_not_measured(backends: Backends, loaded: Callable[..., str]) -> None:
    assert loaded("eager", "fp32") == loaded("eager") == "eager fp32"
    assert backends.measured == []


def test_backends_that_are_not_installed_are_passed_over(
    loaded: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(load.MODULES, "openvino", "engines.not_installed")
    assert loaded() == "eager fp32"
    with pytest.raises(EngineError, match=r"backend openvino: cannot be imported .*not_installed"):
        loaded("openvino")


def test_auto_on_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is fastest here; a second look measures nothing, and every verdict is kept."""
    first = load_engine(MODEL, clock=lambda: 0.0).info  # however slow the machine, all are measured
    engines = load.CandidateEngines(MODEL)
    verdicts = {one: engines.qualification(one) for one in load.candidates()}
    assert load.REFERENCE in verdicts
    assert load.fastest(verdicts) == load.Candidate(first.backend, first.precision)  # type: ignore[arg-type]
    assert all(verdict.accepted or verdict.slow for verdict in verdicts.values())
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert load_engine(MODEL).info == first
    assert not [record for record in caplog.records if "measuring" in record.getMessage()]
