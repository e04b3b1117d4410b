"""Engines in int8, and compiled engines kept in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nightday.engines import EngineError
from nightday.engines.backends.openvino import build, int8
from nightday.engines.backends.openvino import engine as backend
from nightday.engines.backends.openvino.engine import OpenVinoEngine
from nightday.engines.backends.openvino.graphs import graphs_for
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from tests.engines.backends.openvino.test_int8_graphs import run_by

Pixels = NDArray[np.uint8]


def nights(rng: np.random.Generator, count: int, size: tuple[int, int]) -> Pixels:
    """Smooth dark pictures with a few lamps and a camera's noise, uint8 (count, H, W, 3)."""
    height, width = size
    made = []
    for _ in range(count):
        light = cv2.resize(rng.uniform(2, 30, (3, 4, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for x, y in rng.uniform(0, 1, (4, 2)):
            spot = np.zeros((height, width, 3))
            cv2.circle(spot, (int(x * width), int(y * height)), 3, rng.uniform(80, 250, 3).tolist(), -1)
            light += cv2.GaussianBlur(spot, (0, 0), 3)
        made.append(light + rng.normal(0, 1.5, light.shape))
    pictures: Pixels = np.clip(np.stack(made), 0, 255).round().astype(np.uint8)
    return pictures


def small_model(rng: np.random.Generator, kind: str) -> NightToDay:
    """A model that draws something: as initialised, the generator's weights make grey of everything."""
    torch.manual_seed(int(rng.integers(2**31)))
    settings = GeneratorSettings(kind=kind, blocks=1, width=8, norm="batch")  # type: ignore[arg-type]
    model = NightToDay(settings)
    convolutions = [part for part in model.generator.modules() if isinstance(part, nn.Conv2d)]
    for part in convolutions:
        nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    with torch.no_grad():
        convolutions[-1].weight *= 0.2  # else most of the picture is black or white
        for _ in range(20):  # batch norm's statistics
            model(torch.from_numpy(nights(rng, 2, (64, 80))))
    return model.eval()


def psnr(a: Pixels, b: Pixels) -> NDArray[np.float64]:
    error = (a.astype(np.float64) - b).reshape(len(a), -1)
    ratios: NDArray[np.float64] = 10 * np.log10(255**2 / np.maximum(np.square(error).mean(axis=1), 1e-9))
    return ratios


class Case:
    """A model, its calibration, a cache, and how often something was quantised."""

    def __init__(self, kind: str, seed: int, folder: Path) -> None:
        rng = np.random.default_rng(seed)
        self.model = small_model(rng, kind)
        self.calibration = nights(rng, 4, (64, 80))
        self.cache = EngineCache(folder)
        self.frames = nights(rng, 3, (64, 80))
        self.odd = nights(rng, 1, (50, 71))

    def engine(self, **other: Any) -> OpenVinoEngine:
        given = {"cache": self.cache, "calibration": self.calibration, "precision": "int8", **other}
        return OpenVinoEngine(self.model, name="small.pt", **given)

    def eager(self, frames: Pixels) -> Pixels:
        with torch.inference_mode():
            day: Pixels = self.model(torch.from_numpy(frames)).numpy()
            return day


def new_case(kind: str, factory: pytest.TempPathFactory) -> Case:
    seed = int(np.random.default_rng().integers(2**31))
    print(f"{seed=}")
    return Case(kind, seed, factory.mktemp("engines"))


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return new_case("light", tmp_path_factory)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return new_case("resnet", tmp_path_factory)


@pytest.mark.parametrize("kind", ["light", "resnet"])
def test_int8_draws_what_eager_draws_is_built_once_and_comes_back_the_same(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    case: Case = request.getfixturevalue(kind)
    engine = case.engine()
    assert (engine.info.backend, engine.info.precision) == ("openvino", "int8")
    day, want = engine(case.frames), case.eager(case.frames)
    print(f"PSNR to eager: {psnr(day, want).round(1)}; the pictures' own spread {want.std():.0f}")
    assert want.std() > 5
    assert psnr(day, want).min() >= 32
    assert not np.array_equal(day, want)  # it is quantised

    # Another size is compiled, not quantised again
    def never(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(int8, "quantise", never)
    assert psnr(engine(case.odd), case.eager(case.odd)).min() >= 32

    # And another engine takes both as they are
    monkeypatch.setattr(ov, "convert_model", never)
    again = case.engine()
    assert not again.prepared(64, 80)
    again.prepare(64, 80)
    assert again.prepared(64, 80)
    np.testing.assert_array_equal(again(case.frames), day)
    np.testing.assert_array_equal(again(case.odd), engine(case.odd))

    # Unless it was calibrated on something else
    with pytest.raises(AssertionError, match="built again"):
        case.engine(calibration=case.calibration[:2])(case.frames)


def test_fp32_is_the_same_from_the_cache_and_without_one(
    light: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = light.engine(precision="fp32")(light.frames)
    assert psnr(day, light.eager(light.frames)).min() > 55
    np.testing.assert_array_equal(light.engine(precision="fp32", cache=None)(light.frames), day)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(ov, "convert_model", never)
    np.testing.assert_array_equal(light.engine(precision="fp32")(light.frames), day)
    with pytest.raises(AssertionError, match="built again"):
        light.engine(precision="fp32", cache=None)(light.frames)


def test_int8_is_offered_where_the_cpu_has_it(light: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "computes_in", lambda type_: type_ == "INT8")
    assert backend.precisions() == ("int8", "fp32")
    monkeypatch.setattr(backend, "computes_in", lambda type_: False)
    assert backend.precisions() == ("fp32",)
    for precision in ("int8", "bf16"):
        with pytest.raises(
            EngineError, match=rf"^precision {precision}: this CPU does not .*; use fp32 or auto"
        ):
            light.engine(precision=precision)
    monkeypatch.setattr(backend, "computes_in", lambda type_: True)
    assert backend.precisions() == ("int8", "bf16", "fp32")


def test_int8_wants_night_frames(light: Case) -> None:
    with pytest.raises(EngineError, match=r"^precision int8: needs night frames"):
        light.engine(calibration=())


def test_quantised_for_another_cpu_it_is_another_engine(light: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for most in (63, 127):
        monkeypatch.setattr(int8, "most_weight", lambda most=most: most)
        keys.append(light.engine()._key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("kind", ["light", "resnet"])
def test_every_convolution_runs_in_int8_and_weights_take_a_byte(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    case: Case = request.getfixturevalue(kind)
    build.quantise(case.model, list(case.calibration), (), tmp_path)
    graph = build.CORE.read_model(tmp_path / build.ANY_SIZE)
    convolutions = [node for node in graph.get_ops() if "Convolution" in node.get_type_name()]
    rest = next(graph for graph in graphs_for(case.model, 64, 80) if graph.name == "rest")
    graph.reshape(list(rest.examples[0].shape))
    compiled = build.CORE.compile_model(graph, "CPU", build.options(rest, build.ALL_CORES, "int8"))
    by = run_by(compiled)
    assert len(by) == len(convolutions) > 5
    assert ("ConvolutionBackpropData" in {node.get_type_name() for node in convolutions}) == (
        kind == "resnet"
    )
    assert set(by) <= {"u8", "i8"}

    weights = [node.input_value(1) for node in convolutions]
    count = sum(int(np.prod(value.get_shape())) for value in weights)
    biases = sum(node.get_output_partial_shape(0)[1].get_length() for node in convolutions)
    size = (tmp_path / build.ANY_SIZE).with_suffix(".bin").stat().st_size
    assert count <= size <= count + 4 * 6 * biases + 4096
