"""Engines built in a process of their own: what it is told, that it gives way, and that it ends with this one."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.load import load_config
from nightday.pipeline.config.schema import EngineConfig
from nightday.pipeline.serving import model_loader, prebuild
from nightday.pipeline.serving.model_loader import ModelLoader
from nightday.pipeline.serving.prebuild import prebuild_engine

ENDED = 30.0  # seconds a process may take to end on a busy machine


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts ``main`` of a body in place of ``nightday-engine``'s; the folder it runs in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "code")

    def put(body: str) -> Path:
        folder = tmp_path / "code" / "nightday" / "engines"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "cli.py").write_text(f"import json, os, sys, time\ndef main(arguments):\n    {body}\n")
        return tmp_path

    return put


@pytest.mark.parametrize(("gives_way", "lower"), [(True, 10), (False, 0)])
def test_a_build_is_told_what_is_asked_and_gives_way_where_it_shall(
    stand_in: Callable[[str], Path], caplog: pytest.LogCaptureFixture, gives_way: bool, lower: int
) -> None:
    caplog.set_level("INFO")
    folder = stand_in("open('told', 'w').write(f'{os.nice(0)} ' + ' '.join(arguments)); return 0")
    settings = EngineConfig(backend="openvino", precision="bf16", max_batch=4, reuse="off")
    sizes = {(1080, 1920), (8, 64), (288, 352)}
    assert prebuild_engine(Path("weights/-gate.pt"), sizes, settings, gives_way=gives_way)
    assert (folder / "told").read_text() == (
        f"{min(os.nice(0) + lower, 19)} build --model=weights/-gate.pt --backend=openvino --precision=bf16 "
        "--max-batch=4 --reuse=off --size=288x352 --size=1080x1920"
    )
    assert [record.__dict__["event"] for record in caplog.records] == ["engine_built"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("print('one\\nlast', file=sys.stderr); return 2", "last"),
        ("return 3", "status 3"),
        ("raise MemoryError('no room')", "MemoryError: no room"),
        ("time.sleep(600)", "timed out after 0.2 seconds"),
    ],
)
def test_a_build_that_fails_is_told_of_and_no_more(
    stand_in: Callable[[str], Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    fault: str,
) -> None:
    stand_in(body)
    if "timed out" in fault:
        monkeypatch.setattr(prebuild, "BUILD_WITHIN", 0.2)
    assert not prebuild_engine(Path("gate.pt"), {(48, 64)}, EngineConfig(), gives_way=True)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "gate.pt is built beside the cameras, since a process of its own failed: "
    )
    assert record.getMessage().endswith(fault)


def test_where_there_is_nothing_to_compile_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert not prebuild_engine(Path("gate.pt"), {(48, 64)}, EngineConfig(backend="eager"), gives_way=True)
    assert not prebuild_engine(Path("gate.pt"), (), EngineConfig(), gives_way=True)


def test_a_build_ends_with_the_process_that_wants_it_even_if_that_is_killed(
    stand_in: Callable[[str], Path],
) -> None:
    stand_in("print(os.getpid(), file=sys.stderr, flush=True); time.sleep(600)")
    out, into = os.pipe()
    code = (
        "import subprocess, sys; from pathlib import Path; from nightday.pipeline.serving import prebuild;"
        "from nightday.pipeline.config.schema import EngineConfig; popen = subprocess.Popen;"
        f"subprocess.Popen = lambda *a, **o: popen(*a, **(o | dict(stderr={into}, pass_fds=[{into}])));"
        f"sys.path.insert(0, {sys.path[0]!r});"
        "prebuild.prebuild_engine(Path('gate.pt'), [(48, 64)], EngineConfig(), gives_way=True)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], pass_fds=[into])
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        assert int(pipe.readline()) > 0  # the build's process is there, and holds the pipe
        parent.send_signal(signal.SIGKILL)
        parent.wait(ENDED)
        assert select.select([pipe], [], [], ENDED)[0]
        assert pipe.read() == b""  # nobody holds it any more


def test_a_reload_builds_ahead_what_is_new_for_the_sizes_of_its_cameras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.manual_seed(0)
        save_checkpoint(name, NightToDay(GeneratorSettings(blocks=1, width=4)))
    built: list[tuple[Path, set[tuple[int, int]]]] = []

    def prebuild_engine(model: Path, sizes: set[tuple[int, int]], _: object, *, gives_way: bool) -> bool:
        assert gives_way  # to the cameras that run
        built.append((model, set(sizes)))
        return False

    monkeypatch.setattr(model_loader, "prebuild_engine", prebuild_engine)
    cameras = [
        {"name": name, "url": f"rtsp://10.0.0.5/{name}", "model": model}
        for name, model in (("gate", "a.pt"), ("yard", "a.pt"), ("door", "a.pt"), ("hall", "b.pt"))
    ]
    Path("cameras.yaml").write_text(yaml.safe_dump({"cameras": cameras, "engine": {"backend": "eager"}}))
    loaded, kept = load_config("cameras.yaml"), ModelLoader()
    running = kept.setup(loaded, sizes={"gate": (48, 64), "yard": (1080, 1920), "hall": (288, 352)})
    assert built == [(Path("a.pt"), {(48, 64), (1080, 1920)}), (Path("b.pt"), {(288, 352)})]
    built.clear()
    assert kept.setup(loaded, sizes={"gate": (48, 64)}).engines == running.engines
    assert built == []
