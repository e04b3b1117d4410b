"""The GPU benchmark on a CPU: every part at toy size, its clock, its cameras, and what it says it did not measure."""

from __future__ import annotations

import json
import random
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import cameras, parts
from benchmarks.gpu.budget import Budget, OutOfTimeError, not_measured
from benchmarks.gpu.cameras import Nv12, Synthetic, most_cameras, serve, to_rgb
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.gpu.runners import KINDS, Machine, products, seconds_each
from nightday.engines.backends.tensorrt import engine as tensorrt
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import COMPACT, LIGHT, PAPER, GeneratorSettings

CPU = Machine(torch.device("cpu"), smoke=True)


class Clock:
    """Time that passes when it is told to, and a little with each question."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1e-4
        return self.now


@pytest.mark.slow
def test_every_part_runs_at_toy_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    assert command.main(["--smoke", "--json", str(path)]) == 0
    told = json.loads(path.read_text())
    assert told["smoke"] is True
    assert told["hardware"]
    assert told["versions"]["torch"] == torch.__version__
    assert len(told["date"]) == 10
    share = told["generator_share"]
    for kind in ("eager", "compile"):
        assert share[kind]["share"] > 0
        assert told["quality"][f"{kind} fp16"] > 40
        exact = told["quality"][f"{kind} fp32"]  # but for the order of sums
        assert exact == "identical" or exact > 80
    assert 30 < told["quality"]["eager int8"] < 60
    row = told["cameras"]["light 64x48"]
    assert row["cameras"] >= 0
    assert row["fps"] > 0
    assert row["limit"]
    assert told["cameras"]["decoding"] == "on the CPU, for the smoke test"
    stay = told["frames_stay"]
    assert stay["host"]["fps"] > 0
    assert (stay["host"]["decoder"], stay["host"]["encoder"]) == ("software", "x264")
    if not torch.cuda.is_available():
        assert stay["host"]["copies_a_frame"] == {}
        assert stay["gpu"] == "not measured: there is no NVIDIA GPU"
    assert told["training_step"]["CUT / DiCo"] > 0
    if not torch.cuda.is_available():
        for value in (
            share["tensorrt"],
            told["engine_load"]["loaded / built"],
            told["quality"]["tensorrt fp16"],
            told["quality"]["tensorrt int8"],
            told["int8"]["light"]["fp16"],
            told["int8"]["light"]["int8"],
        ):
            assert value.startswith("not measured: backend tensorrt: ")
    assert capsys.readouterr().out.count("\n") == len(PARTS)


def test_the_file_is_complete_after_each_part_and_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "results" / "gpu.json"
    seen: list[dict[str, Any]] = []

    def look(machine: Machine, budget: Budget) -> dict[str, Any]:
        seen.append(json.loads(path.read_text()))
        return {"number": 1 / 3}

    def fail(machine: Machine, budget: Budget) -> dict[str, Any]:
        raise MemoryError

    def late(machine: Machine, budget: Budget) -> dict[str, Any]:
        budget.ask(1000)
        return {}

    steps = [
        Part("first", look, 10),
        Part("broken", fail, 10),
        Part("late", late, 10),
        Part("last", look, 10),
    ]
    assert command.run_parts(steps, CPU, path, seconds=60) == 1
    assert seen[0]["first"] == seen[0]["last"] == "not measured: not reached"
    assert seen[1]["first"] == {"number": 0.33333}
    assert seen[1]["broken"] == "not measured: MemoryError"
    assert seen[1]["late"].startswith("not measured: 1000 s asked for, ")
    assert json.loads(path.read_text())["last"] == {"number": 0.33333}


def test_it_ends_in_time_though_a_part_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    over = threading.Event()

    def end(status: int) -> None:
        ended.append(status)
        over.set()

    monkeypatch.setattr("benchmarks.gpu.__main__.os._exit", end)
    path = tmp_path / "gpu.json"

    def hang(machine: Machine, budget: Budget) -> dict[str, Any]:
        assert over.wait(60)
        assert json.loads(path.read_text())["before"] == {"done": True}
        return {}

    steps = [Part("before", lambda machine, budget: {"done": True}, 1), Part("hangs", hang, 1)]
    command.run_parts(steps, CPU, path, seconds=2.5)
    assert ended == [3]


def test_without_a_gpu_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main([]) == 2
    assert "--smoke" in capsys.readouterr().err


def test_a_budget_ends() -> None:
    clock = Clock()
    whole = Budget(10, clock)
    part = whole.part(3)
    part.ask(2)
    clock.now += 2
    with pytest.raises(OutOfTimeError, match="2 s asked for, 1 s left"):
        part.ask(2)
    whole.ask(7)
    clock.now += 20
    assert whole.left == part.left == whole.part(5).left == 0
    assert not_measured(KeyError()) == "not measured: KeyError"
    assert not_measured(RuntimeError("two\n lines")) == "not measured: two lines"


@pytest.mark.slow
def test_products_are_those_of_the_published_sizes() -> None:
    # The classic ResNet-9 of 64 channels has 49.6 G at 256×256 with 3 input channels and transposed convolutions.
    classic = NightToDay(GeneratorSettings(blocks=9, width=64, input="rgb", upsample="transposed"))
    assert products(classic, (256, 256)) / 1e9 == pytest.approx(49.6, abs=0.1)
    assert products(NightToDay(COMPACT), (288, 352)) / 1e9 == pytest.approx(4.34, abs=0.01)
    assert products(NightToDay(LIGHT), (288, 352)) / 1e9 == pytest.approx(0.99, abs=0.01)
    # Padding counts, and is a smaller share of a larger picture.
    once, four_times = (products(NightToDay(PAPER), (side, side)) for side in (64, 128))
    assert 0.97 * 4 * once < four_times < 4 * once


def test_what_is_compared_runs_in_turns() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = seconds_each(calls, CPU, Budget(60), rounds=2, seconds=0.0)
    assert order == [*"aaabbb", *"aaabbb", *"aaabbb"]  # warm-up, then two rounds
    assert {name: len(spent) for name, spent in times.items()} == {"a": 2, "b": 2}
    with pytest.raises(OutOfTimeError):
        seconds_each(calls, CPU, Budget(0), rounds=2, seconds=1.0)


def test_nv12_becomes_rgb_as_opencv_has_it() -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    luma = rng.integers(16, 236, (32, 48), dtype=np.uint8)
    chroma = rng.integers(100, 156, (16, 24, 2), dtype=np.uint8)
    frame = Nv12(torch.from_numpy(luma), torch.from_numpy(chroma), 0.0)
    rgb = to_rgb([frame, frame], (16, 24), CPU.device)
    assert rgb.shape == (2, 16, 24, 3)
    # BT.709 by the book, in float64, at half size: four lumas to a pair of chromas
    y = (luma.reshape(16, 2, 24, 2).mean(axis=(1, 3)) - 16) / 219
    cb, cr = ((chroma[..., i].astype(float) - 128) / 224 for i in (0, 1))
    r = y + 2 * (1 - 0.2126) * cr
    b = y + 2 * (1 - 0.0722) * cb
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    want = np.clip(np.stack((r, g, b), axis=-1) * 255, 0, 255)
    assert np.abs(rgb[0].numpy() - want).max() <= 0.6


def of_speed(clock: Clock, seconds: float) -> Any:
    """A model that takes so long for any batch."""

    def run(frames: Tensor) -> Tensor:
        clock.now += seconds
        return frames

    return run


def test_latency_and_drops_are_those_of_an_open_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu.cameras.time.sleep", lambda seconds: None)
    frames = cameras.made_up(2, (8, 8), CPU.device)

    def figures(count: int, seconds: float, batch: int = 4) -> dict[str, float]:
        clock = Clock()
        source = Synthetic(count, frames, clock)
        return serve(source, of_speed(clock, seconds), (8, 8), CPU, batch=batch, seconds=3, clock=clock)

    easy = figures(4, 0.01)
    assert easy["translated"] > 0.98
    assert 0.01 < easy["p95_s"] < 0.04
    assert easy["offered_fps"] == pytest.approx(120, rel=0.02)
    much = figures(16, 0.1)  # 40 of 480 a second
    assert much["fps"] == pytest.approx(40, rel=0.1)
    assert much["translated"] == pytest.approx(40 / 480, rel=0.15)
    assert (
        much["p95_s"] < 0.1 + 1 / cameras.FPS + 0.01
    )  # newest wins: none waits for longer than a frame's time
    assert much["busy"] > 0.95


def test_the_most_cameras_are_found_and_the_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("benchmarks.gpu.cameras.time.sleep", lambda seconds: None)
    monkeypatch.setattr(cameras, "serve", lambda *a, **k: serve(*a, **k, clock=clock))
    frames = cameras.made_up(2, (8, 8), CPU.device)

    def opened(count: int) -> Any:
        return nullcontext(Synthetic(count, frames, clock))

    def found(bare_fps: float) -> dict[str, Any]:
        run = of_speed(clock, 0.02)  # 4 in 20 ms: 200 fps, 6.7 cameras
        return most_cameras(
            opened, run, (8, 8), CPU, Budget(1e9, clock), bare_fps=bare_fps, batch=4, seconds=3
        )

    row = found(600)
    assert row["cameras"] == 6
    assert row["p95_ms"] < 100
    assert row["limit"] == "the model and the resize before it"
    assert found(60)["limit"].startswith("not found")
    monkeypatch.setattr(cameras, "P95_BAR", 0.001)
    assert found(600)["cameras"] == 0


def test_a_clip_that_cannot_be_decoded_there_gives_way_to_made_up_frames() -> None:
    if torch.cuda.is_available():
        pytest.skip("NVDEC may be there")
    with parts._decoder((48, 64), Machine(torch.device("cpu"))) as (opened, what):
        assert what.startswith("frames made up on the device; decoding not measured: ")
        with opened(2) as source:
            assert isinstance(source, Synthetic)


def test_loading_is_measured_against_building(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Engine:
        def __init__(self, model: NightToDay, *, name: str, precision: str, cache: Any) -> None:
            made.append(cache.folder)

        def prepare(self, height: int, width: int) -> None:
            pass

    monkeypatch.setattr(tensorrt, "TensorRtEngine", Engine)
    row = parts.engine_load(CPU, Budget(60))
    assert made[0] == made[1]
    assert row["loaded / built"] == row["loaded_s"] / row["built_s"]


@pytest.mark.slow
def test_a_part_goes_on_without_what_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(kind: str, *_: Any, **__: Any) -> Any:
        if kind != "eager":
            raise RuntimeError(f"no {kind} here")
        return lambda frames: frames

    monkeypatch.setattr(parts, "make", make)
    share = parts.generator_share(CPU, Budget(60))
    assert share["eager"]["against_eager"] == 1
    for kind in KINDS[1:]:
        assert share[kind] == f"not measured: no {kind} here"
    monkeypatch.setattr("benchmarks.gpu.parts.cameras.most_cameras", lambda *a, **k: {"cameras": 5})
    row = parts._served(NightToDay(parts.TOY), (32, 48), CPU, Budget(60), None, 2, 0.1)
    assert isinstance(row, dict)
    assert (row["backend"], row["cameras"]) == ("eager", 5)
    assert row["tensorrt"] == "not measured: no tensorrt here"


def test_batches_that_are_not_full_are_padded() -> None:
    shapes: list[int] = []

    def run(frames: Tensor) -> Tensor:
        shapes.append(len(frames))
        return 255 - frames

    padded = parts._padded(run, 4)
    for count in (1, 3, 4):
        frames = torch.randint(0, 256, (count, 8, 8, 3), dtype=torch.uint8)
        assert torch.equal(padded(frames), 255 - frames)
    assert shapes == [4, 4, 4]
