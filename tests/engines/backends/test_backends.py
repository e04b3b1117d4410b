"""The engines on the shipped model and real frames."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines import CheckpointError, EngineError, load_engine
from nightday.engines.backends.openvino.engine import precisions
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack, synthetic_nights
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.scene import read_frames

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "weights" / "a1_barnet.pt"
CLIPS = ROOT / "benchmarks" / "clips"
CAN_BF16 = "bf16" in precisions()
# OpenVINO compiles it in a quarter of the time that the ResNet takes, whose invariant is computed in six strips.
TINY = GeneratorSettings(kind="light", blocks=1, width=4)


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    """Real frames: two of the simulated night of the model's own scene, two of a real night elsewhere."""
    names = ("night_a1_barnet_simulated.mp4", "night_tfl_07450_piccadilly.mp4")
    return np.stack([read_frames(CLIPS / name)[i] for name in names for i in (20, 200)])


@pytest.fixture(scope="module")
def eager(frames: NDArray[np.uint8]) -> NDArray[np.int16]:
    return load_engine(MODEL, backend="eager", precision="fp32")(frames).astype(np.int16)


@pytest.mark.parametrize(("precision", "bar"), [("fp32", 0.5), ("bf16", 2.0)])
def test_openvino_agrees_with_eager(
    frames: NDArray[np.uint8], eager: NDArray[np.int16], precision: str, bar: float
) -> None:
    if precision == "bf16" and not CAN_BF16:
        with pytest.raises(EngineError, match="bf16"):
            load_engine(MODEL, backend="openvino", precision="bf16")
        return
    engine = load_engine(MODEL, backend="openvino", precision=precision)  # type: ignore[arg-type]
    assert (engine.info.backend, engine.info.precision, engine.info.model) == (
        "openvino",
        precision,
        MODEL.name,
    )
    day = engine(frames)
    assert day.dtype == np.uint8
    assert day.shape == frames.shape
    difference = np.abs(day - eager).mean(axis=(1, 2, 3))
    print(f"mean absolute difference in grey levels, {precision}: {difference.round(3)}")
    assert difference.max() <= bar


def test_eager_draws_a_tensor_where_it_lies_as_it_draws_an_array(
    frames: NDArray[np.uint8], eager: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(MODEL, backend="eager", precision="fp32")
    if engine.device is None:  # the CPU stands in for a GPU
        with pytest.raises(ValueError, match="expected an array"):
            engine(torch.from_numpy(frames))
        monkeypatch.setattr(engine, "device", torch.device("cpu"))
    day = engine(torch.from_numpy(frames).to(engine.device))
    assert day.dtype == torch.uint8
    np.testing.assert_array_equal(day.cpu().numpy(), eager)
    with pytest.raises(ValueError, match="expected uint8"):
        engine(torch.from_numpy(frames[0]))


@pytest.mark.parametrize(
    "settings",
    [
        GeneratorSettings(blocks=1, width=4),
        replace(TINY, reference=(48, 64)),
        replace(TINY, reference=(48, 64), blend=True),
    ],
)
@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_any_size_and_batch_and_its_own_memory(
    tmp_path: Path, backend: str, settings: GeneratorSettings
) -> None:
    path = tmp_path / "tiny.pt"
    model = NightToDay(settings)
    model.reference.random_(0, 256)
    rng = np.random.default_rng()
    nights = pack([rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)])
    save_checkpoint(path, model, qualification_frames=nights)
    engine = load_engine(path, backend=backend, precision="fp32")  # type: ignore[arg-type]
    for shape in ((1, 48, 64, 3), (3, 48, 64, 3), (2, 33, 46, 3), (1, 48, 64, 3)):
        given = rng.integers(0, 256, shape, dtype=np.uint8)
        day = engine(given)
        assert day.shape == shape
        kept = day.copy()
        other = engine(255 - given)  # a later call must not write into an earlier result
        np.testing.assert_array_equal(day, kept)
        assert not np.array_equal(other, day)
        alone = np.concatenate([engine(frame[None]) for frame in given])
        assert np.abs(alone.astype(int) - day).max() <= 1
    view = rng.integers(0, 256, (1, 48, 128, 3), dtype=np.uint8)[:, ::-1, ::2]  # not contiguous
    np.testing.assert_array_equal(engine(view), engine(view.copy()))


def tiny_checkpoint(folder: Path) -> Path:
    """Its engines are qualified on frames of 48x64, so that no other size is compiled for that."""
    path = folder / "tiny.pt"
    nights = pack(synthetic_nights((48, 64)))
    save_checkpoint(path, NightToDay(TINY), qualification_frames=nights)
    return path


def test_frames_side_by_side_are_those_of_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_checkpoint(tmp_path)
    given = np.random.default_rng().integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    days = []
    for cores in (1, 2, 64):  # of the same cache: what is compiled differs
        monkeypatch.setattr("nightday.engines.cores.processors", lambda cores=cores: cores)
        engine = load_engine(path, "openvino", "fp32", cache=EngineCache(tmp_path / "cache"))
        assert engine.at_once == (2 if cores == 2 else 1)
        days.append(engine(given).astype(int))
    assert np.abs(days - days[0]).max() <= 1


def test_calls_at_the_same_time_are_those_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_checkpoint(tmp_path)
    frames = np.random.default_rng().integers(0, 256, (60, 1, 48, 64, 3), dtype=np.uint8)
    for cores in (1, 3):
        monkeypatch.setattr("nightday.engines.cores.processors", lambda cores=cores: cores)
        engine = load_engine(path, "openvino", "fp32", cache=EngineCache(tmp_path / "cache"))
        alone = np.stack([engine(frame) for frame in frames]).astype(int)
        with ThreadPoolExecutor(6) as threads:  # more than there are lanes
            together = np.stack(list(threads.map(engine, frames)))
            batches = np.stack(list(threads.map(engine, frames.reshape(12, 5, 48, 64, 3))))
        assert np.abs(together - alone).max() <= 1
        assert np.abs(batches.reshape(alone.shape) - alone).max() <= 1


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_what_is_no_frame_is_refused(backend: str) -> None:
    engine = load_engine(MODEL, backend=backend, precision="fp32")  # type: ignore[arg-type]
    wrongs: list[Any] = [
        np.zeros((1, 48, 64, 3), np.float32),
        np.zeros((48, 64, 3), np.uint8),
        np.zeros((1, 48, 64, 4), np.uint8),
        np.zeros((0, 48, 64, 3), np.uint8),
        np.zeros((1, 8, 64, 3), np.uint8),
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="expected uint8"):
            engine(wrong)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_an_engine_on_a_cpu_takes_arrays_only(backend: str) -> None:
    engine = load_engine(MODEL, backend=backend, precision="fp32")  # type: ignore[arg-type]
    if engine.device is not None:
        pytest.skip("it computes on a GPU")
    assert engine.at_once is None or engine.at_once >= 1
    with pytest.raises(ValueError, match="frames are a tensor on cpu: expected an array"):
        engine(torch.zeros((1, 48, 64, 3), dtype=torch.uint8))


def test_what_cannot_be_had_is_said(tmp_path: Path) -> None:
    for backend, precision, words in (
        ("cuda", "auto", "backend 'cuda': must be one of auto, eager, compile, openvino, tensorrt"),
        ("auto", "int4", "precision 'int4': must be one of"),
        ("tensorrt", "auto", "backend tensorrt"),
        ("openvino", "fp16", "precision fp16"),
        ("eager", "int8", "precision int8"),
        ("auto", "fp16", "precision fp16: this machine has nothing"),
    ):
        with pytest.raises(EngineError, match=words) as caught:
            load_engine(MODEL, backend, precision)  # type: ignore[arg-type]
        assert str(caught.value).startswith(caught.value.setting)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_engine(tmp_path / "missing.pt")


SIGNALLED = """
import signal
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.engines.backends.openvino.engine import OpenVinoEngine

settings = GeneratorSettings(kind="light", blocks=1, width=4)
engines = [OpenVinoEngine(NightToDay(settings).eval(), name="", precision="fp32") for _ in range(2)]
for engine in engines:
    engine.prepare(16, 16)
del engine
while engines:
    del engines[0]
signal.signal(signal.SIGHUP, lambda *_: print("heard"))
signal.raise_signal(signal.SIGHUP)
"""


def test_signals_are_heard_after_engines_are_gone() -> None:
    """As at a reload that takes other models; see ``build.CORE``."""
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
