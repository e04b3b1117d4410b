"""``nightday-engine``: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.cli import main
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack_with_backgrounds
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.scene import write_picture
from tests.support.known_backend import Backends, install, tiny_model


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Backends:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tiny_model(Path("tiny.pt"))
    backends = install(monkeypatch)
    backends.have = {"int8": (20, 5.0), "bf16": (1, 20.0)}
    return backends


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """What a command that ends well prints as JSON."""

    def one(*arguments: str) -> Any:
        capsys.readouterr()
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return one


@pytest.fixture
def fault(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command says on the way to its exit status."""

    def one(status: int, *arguments: str) -> str:
        capsys.readouterr()
        try:
            code: object = main(arguments)
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        assert code == status, said
        assert said.out == ""
        return said.err

    return one


@pytest.mark.usefixtures("backends")
def test_qualify_tells_every_candidate_and_what_serves(told: Callable[..., Any]) -> None:
    rows = told("qualify", "--model", "tiny.pt")
    by_name = {f"{row['backend']} {row['precision']}": row for row in rows}
    assert list(by_name) == ["openvino int8", "openvino bf16", "eager fp32"]
    assert [row["serves"] for row in rows] == [False, True, False]
    assert "at least 32 are wanted" in by_name["openvino int8"]["verdict"]
    assert by_name["openvino bf16"]["psnr"] == pytest.approx(48.1, abs=0.1)  # off by one grey level
    assert (by_name["openvino bf16"]["ms"], by_name["openvino bf16"]["verdict"]) == (20.0, "accepted")
    assert by_name["eager fp32"]["ms"] == 50.0


def test_qualify_measures_again_and_it_is_remembered(backends: Backends, told: Callable[..., Any]) -> None:
    told("qualify", "--model", "tiny.pt")
    backends.have["bf16"] = (1, 70.0)
    rows = told("qualify", "--model", "tiny.pt")
    assert [row["serves"] for row in rows] == [False, False, True]
    assert "70.0 ms, what it would replace takes 50.0" in rows[1]["verdict"]
    assert told("qualify", "--model", "tiny.pt", "--budget-ms", "80")[1]["verdict"] == "accepted"
    backends.measured.clear()
    assert told("build", "--model", "tiny.pt", "--size", "32x48")[0]["backend"] == "eager"
    assert backends.measured == []


def test_qualify_on_other_frames(
    backends: Backends, told: Callable[..., Any], fault: Callable[..., str]
) -> None:
    frames = np.random.default_rng().integers(0, 60, (2, 40, 56, 3), dtype=np.uint8)
    for i, frame in enumerate(frames):
        write_picture(Path("frames", f"{i}.png"), frame)
    assert told("qualify", "--model", "tiny.pt", "--frames", "frames")[1]["serves"]
    assert told("list") == []  # nothing of it is remembered
    assert "missing" in fault(2, "qualify", "--model", "tiny.pt", "--frames", "missing")


def test_qualify_of_a_model_that_takes_backgrounds(
    backends: Backends, told: Callable[..., Any], fault: Callable[..., str]
) -> None:
    backends.have = {"bf16": (1, 20.0)}
    rng = np.random.default_rng()
    frames, (day, night) = (
        rng.integers(0, 60, (2, 40, 56, 3), dtype=np.uint8),
        rng.integers(0, 200, (2, 40, 56, 3), dtype=np.uint8),
    )
    packed, pairs = pack_with_backgrounds(list(frames), [(day, night)])
    model = NightToDay(GeneratorSettings(blocks=1, width=4, backgrounds=True))
    save_checkpoint("any.pt", model, qualification_frames=packed, qualification_backgrounds=pairs)
    own = told("qualify", "--model", "any.pt")
    assert [row["verdict"] for row in own] == ["accepted", "accepted"]
    for i, frame in enumerate(frames):
        write_picture(Path("frames", f"{i}.png"), frame)
    write_picture(Path("day.png"), day)
    write_picture(Path("night.png"), night)
    other = ("qualify", "--model", "any.pt", "--frames", "frames")
    assert "any.pt needs the camera's backgrounds by day and by night" in fault(2, *other)
    rows = told(*other, "--backgrounds", "day.png", "night.png")
    assert [row["psnr"] for row in rows] == [row["psnr"] for row in own]  # the same pictures
    assert "none.png: cannot be read" in fault(2, *other, "--backgrounds", "none.png", "night.png")
    write_picture(Path("night.png"), night[:20])
    assert "not of the size of the frames" in fault(2, *other, "--backgrounds", "day.png", "night.png")


def test_qualify_tells_what_leaving_the_generator_out_saves_and_costs(
    backends: Backends, told: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    compared = ("share", "auto_ms", "off_ms", "off_psnr", "off_worst")
    rows = told("qualify", "--model", "tiny.pt")
    assert {row[name] for row in rows for name in compared} == {None}  # nothing leaves it out
    backends.have, backends.share = {"bf16": (1, 20.0)}, 0.25
    with_it, eager = told("qualify", "--model", "tiny.pt")
    assert (with_it["auto_ms"], with_it["off_ms"], with_it["share"]) == (20.0, 30.0, 0.25)
    # Beside itself without reuse, which is eager fp32 here, it is off by one grey level.
    assert with_it["off_psnr"] == with_it["psnr"] == pytest.approx(48.1, abs=0.1)
    assert with_it["off_worst"] == with_it["worst"] <= with_it["off_psnr"]
    assert [eager[name] for name in compared] == [None] * 5
    assert main(["qualify", "--model", "tiny.pt"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[5:] == ["ms", *compared, "verdict"]
    assert lines[0].split()[6:9] == ["0.25", "20.0", "30.0"]


def test_build_compiles_what_reuse_needs(backends: Backends, told: Callable[..., Any]) -> None:
    for words, reuse in (((), True), (("--reuse", "off"), False), (("--reuse", "auto"), True)):
        backends.reuse.clear()
        told("build", "--model", "tiny.pt", "--size", "32x48", "--precision", "bf16", *words)
        assert set(backends.reuse) == {reuse}


def test_build_list_prune(backends: Backends, told: Callable[..., Any]) -> None:
    built = told("build", "--model", "tiny.pt", "--size", "1080x1920", "--size", "32X48")
    assert [(row["model"], row["size"], row["backend"], row["precision"]) for row in built] == [
        ("tiny.pt", "1080x1920", "openvino", "bf16"),
        ("tiny.pt", "32x48", "openvino", "bf16"),
    ]
    rows = told("list")
    assert {f"{row['backend']} {row['precision']}": row["verdict"][:8] for row in rows} == {
        "openvino int8": "22.1 dB ",
        "openvino bf16": "accepted",
        "eager fp32": "accepted",
    }
    assert {row["model"] for row in rows} == {"tiny.pt"}
    # An engine's own entry, as a backend that compiles leaves it, is told with the verdict on it.
    cache = EngineCache()
    of_bf16 = next(e for e in cache.entries() if e.key is not None and e.key.precision == "bf16")
    assert of_bf16.key is not None
    key = replace(of_bf16.key, shape=(8, 1080, 1920), graph="of the engine", flags=())

    def write(folder: Path) -> None:
        (folder / "engine.bin").write_bytes(b"x" * 1000)

    folder = cache.fetch(key, write)
    (cache.folder / ("a" * 32)).mkdir()
    rows = {row["size"] + row["precision"]: row for row in told("list")}
    assert rows["1080x1920bf16"]["verdict"] == "accepted"
    assert rows["1080x1920bf16"]["model"] == "tiny.pt"
    assert rows["1080x1920bf16"]["bytes"] == 1000
    assert rows[""]["verdict"] == "torn"
    assert len(rows) == 4
    os.utime(folder / "manifest.json", (0, 0))
    assert [row["bytes"] for row in told("prune", "--days", "2")] == [1000]
    assert told("prune", "--max-gigabytes", "1") == []
    assert len(told("prune", "--all")) == 4
    assert told("list") == []


@pytest.mark.usefixtures("backends")
def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "nothing\n"
    assert main(["qualify", "--model", "tiny.pt"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["serves", "backend", "precision", "psnr", "worst", "ms", "verdict"]
    assert lines[2][:3] == ["*", "openvino", "bf16"]
    assert len(lines) == 4
    assert main(["list"]) == 0
    assert "accepted" in capsys.readouterr().out


def test_what_is_wrong_is_said(backends: Backends, fault: Callable[..., str]) -> None:
    for status, arguments, words in (
        (2, "", "COMMAND"),
        (2, "build --model tiny.pt", "--size"),
        (2, "build --model tiny.pt --size 1080", "'1080' is no height x width"),
        (2, "build --model tiny.pt --size 8x1920", "at least 16"),
        (2, "build --model tiny.pt --size 32x48 --max-batch 0", "'0' is no whole number"),
        (2, "build --model none.pt --size 32x48", "none.pt: no such checkpoint"),
        (
            2,
            "build --model tiny.pt --size 32x48 --backend tensorrt",
            "backend tensorrt: there is no NVIDIA GPU",
        ),
        (
            2,
            "build --model tiny.pt --size 32x48 --precision int8",
            "precision int8: tiny.pt gives another picture",
        ),
        (2, "qualify --model none.pt", "none.pt: no such checkpoint"),
        (2, "prune", "--max-gigabytes, --days or --all"),
        (2, "prune --days nan", "'nan' is no number of days above 0"),
    ):
        assert words in fault(status, *arguments.split())
    backends.have["bf16"] = (1, 20.0)
    backends.breaks_at = (64, 64)
    arguments = "build --model tiny.pt --size 64x64 --backend openvino --precision bf16"
    said = fault(1, *arguments.split())
    assert "nightday-engine: RuntimeError: cannot compile 64x64" in said
