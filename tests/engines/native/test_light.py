"""The compiled code before and after the light generator, against the model in PyTorch."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nightday.engines.backends.openvino.graphs import graphs_for
from nightday.engines.model.color_invariant import ColorInvariant
from nightday.engines.model.evidence import FULL
from nightday.engines.model.generator import NightToDay, to_bytes
from nightday.engines.model.layers import DOUBTED
from nightday.engines.model.lift import Lifted, module_for
from nightday.engines.model.settings import COMPACT, LIGHT, GeneratorSettings
from nightday.engines.native import library, light
from nightday.engines.native.large import LargeFrames

Pixels = NDArray[np.uint8]
TINY = replace(LIGHT, blocks=1, width=8)
KINDS = {
    "backgrounds": replace(TINY, backgrounds=True),
    "plain": TINY,
    "rgb": replace(TINY, input="rgb"),
    "invariant alone": replace(TINY, input="replace"),
    "reference": replace(TINY, reference=(40, 56)),
    "blend": replace(TINY, reference=(40, 56), blend=True, invariant_radius=4),
}


@pytest.fixture(autouse=True)
def torch_is_seeded(rng: np.random.Generator) -> None:
    torch.manual_seed(int(rng.integers(2**31)))


def street(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Soft shapes with noise; a part of it black, a part white."""
    height, width = size
    coarse = torch.from_numpy(rng.uniform(0, 1, (1, 3, 6, 8)))
    soft = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0].permute(1, 2, 0).numpy()
    noisy = soft * rng.uniform(20, 300) + rng.normal(0, 2, (height, width, 3))
    noisy[: height // 5] = 0
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8))


def model_of(settings: GeneratorSettings, rng: np.random.Generator) -> NightToDay:
    model = NightToDay(settings).eval()
    if model.invariant is not None:
        with torch.no_grad():
            model.invariant.log2_sigma.uniform_(-1.5, 1)
            model.invariant.weight.uniform_(0.5, 1.5)
    if settings.reference is not None:
        model.reference.copy_(torch.from_numpy(street(rng, settings.reference)).permute(2, 0, 1))
    for part in model.generator.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    return model


def computed(model: NightToDay, *pictures: Pixels) -> dict[str, Tensor]:
    """What PyTorch makes in each graph of a night and its backgrounds, by name."""
    given = {
        name: torch.from_numpy(picture)[None]
        for name, picture in zip(("frames", "day_background", "night_background"), pictures, strict=False)
    }
    with torch.inference_mode():
        for graph in graphs_for(model, *pictures[0].shape[:2]):
            made = graph.module(*(given[name] for name in graph.takes))
            given |= zip(graph.gives, made if isinstance(made, tuple) else (made,), strict=True)
    return given


def complete(front: light.LightFront, known: light.Known | None) -> None:
    if known is not None:
        front.relight(known)
    front.measure()


def off(got: NDArray[Any], wanted: Tensor) -> float:
    return float(np.abs(got.astype(np.float64) - wanted[0].numpy()).max())


@pytest.mark.parametrize("size", [(48, 64), (45, 67), (16, 16), (61, 35)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_it_makes_is_what_the_model_makes(
    kind: str, size: tuple[int, int], rng: np.random.Generator
) -> None:
    model = model_of(KINDS[kind], rng)
    night, by_day, by_night = (street(rng, size) for _ in range(3))
    # One corner is as it always is.
    night[: size[0] // 2, : size[1] // 2] = by_night[: size[0] // 2, : size[1] // 2]
    beside = [by_day, by_night] if KINDS[kind].backgrounds else []
    wanted = computed(model, night, *beside)
    front, end = light.LightFront(model, *size), light.LightEnd(model, *size)
    known = light.Known.of(wanted) if beside else None
    found = front.look(night, known)
    assert (found == "near") == (not beside or bool(wanted["seen"][:, light.NEAR].any()))
    complete(front, known)
    assert front.seen.shape == wanted["seen"].shape[1:]
    apart = np.abs(front.seen - wanted["seen"][0].numpy())
    assert apart.max() < 0.05  # hue divides by what may nearly cancel
    assert (apart > 1e-3).mean() < 1e-3
    assert apart.mean() < 1e-5
    # The same of floats.
    again = light.LightFront(model, *size)
    again.look(np.ascontiguousarray(night.transpose(2, 0, 1)) / np.float32(255), known)
    complete(again, known)
    assert np.abs(again.seen - front.seen).max() < 1e-3

    day = np.empty((*size, 3), np.uint8)
    before = np.ascontiguousarray(wanted["before"][0].numpy())
    pictures = {"days": day}
    if known is not None:
        pictures["trust"] = trust = np.empty_like(day)
        end.put_together(before, front.seen, known, day, trust)
    else:
        end.draw(before, front.seen, day)
    for name, picture in pictures.items():
        right = wanted[name][:, : size[0], : size[1]]
        assert off(picture, right) <= 1
        assert (picture != right[0].numpy()).sum() <= 3 + 0.003 * picture.size  # ties of rounding
        assert np.ptp(picture) > 5


def exact_invariant(invariant: ColorInvariant, rgb: Tensor) -> Tensor:
    """ξ in double precision."""
    with torch.no_grad():
        wide = ColorInvariant(radius=invariant.radius, stride=2).double()
        wide.load_state_dict(invariant.state_dict())
        g, dg = (kernel.double() for kernel in invariant.kernels())
        wide.kernels = lambda: (g, dg)  # type: ignore[method-assign]
        padded = torch.nn.functional.pad(rgb.double(), (invariant.radius,) * 4, mode="replicate")
        edges = wide.edges_within(padded, invariant.radius)
        return wide.scaled(torch.log(edges + wide.log_floor.double()))


def test_the_invariant_is_as_exact_as_pytorch_makes_it(rng: np.random.Generator) -> None:
    model = model_of(TINY, rng)
    assert model.invariant is not None
    size = 72, 88
    night = street(rng, size)
    front = light.LightFront(model, *size)
    front.look(night)
    front.measure()
    rgb = torch.from_numpy(night).permute(2, 0, 1)[None] / 255
    exact = exact_invariant(model.invariant, rgb)
    with torch.no_grad():
        plain = model.invariant(rgb)
    ours = np.abs(front.seen[12:] - exact[0].numpy()).mean(axis=(1, 2))
    theirs = (plain - exact).abs().mean(dim=(0, 2, 3)).numpy()
    print(f"mean error of the maps: {ours}, PyTorch's: {theirs}")
    assert (ours < 5e-6).all()
    assert (ours < 10 * theirs + 2e-6).all()


def test_a_night_like_its_background_has_nothing_to_draw(rng: np.random.Generator) -> None:
    model = model_of(KINDS["backgrounds"], rng)
    size = 64, 80
    by_day, by_night = street(rng, size), street(rng, size)
    night = np.clip(by_night + rng.normal(0, 1, by_night.shape), 0, 255).astype(np.uint8)
    wanted = computed(model, night, by_day, by_night)
    known = light.Known.of(wanted)
    error = library.floats(4, 32, 40)
    error[:] = rng.normal(0, 1, error.shape)
    known = replace(known, error=error)
    front, end = light.LightFront(model, *size), light.LightEnd(model, *size)
    found = front.look(night, known)
    front.relight(known)
    strongest = float(wanted["seen"][:, light.STRENGTH : light.NEAR].max()) * FULL
    assert found == ("still" if strongest <= DOUBTED else "doubted")
    assert not wanted["seen"][:, light.NEAR].any()
    day, trust = np.empty((2, *size, 3), np.uint8)
    end.put_together(None, front.seen, known, day, trust, whole=False)
    # The picture does not depend on what the generator would have made; what it expects to be wrong is as given.
    assert off(day, wanted["days"]) <= 1
    unclear = trust[::2, ::2, 2] / 255
    error = 1 / (1 + np.exp(-2 * error[0]))
    assert (unclear > error - 0.003).all()
    # Rows in which nothing is doubted are those of a night that is as it always is.
    known = replace(known, still=end.still(known))
    again, trust_again = np.empty((2, *size, 3), np.uint8)
    end.put_together(None, front.seen, known, again, trust_again, whole=False)
    np.testing.assert_array_equal(again, day)
    np.testing.assert_array_equal(trust_again, trust)
    night[20:44, 30:54] = 255 - night[20:44, 30:54]
    assert front.look(night, known) == "near"


def test_models_without_compiled_code_are_told(rng: np.random.Generator) -> None:
    assert light.runs(model_of(TINY, rng))
    assert not light.runs(NightToDay(COMPACT))
    far = replace(TINY, invariant_radius=60)
    model = NightToDay(far)
    assert model.invariant is not None
    assert light.runs(model)  # what it has learnt reaches less far
    with torch.no_grad():
        model.invariant.log2_sigma.fill_(4)
    assert not light.runs(model)


def test_where_there_is_no_compiled_code_openvino_computes_it_all(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(KINDS["backgrounds"], rng)
    assert [graph.name for graph in graphs_for(model, 32, 48) if graph.native] == ["front", "end"]
    monkeypatch.setattr(light, "load", lambda: None)
    graphs = graphs_for(model, 32, 48)
    assert [graph.name for graph in graphs] == ["known", "front", "rest"]
    assert not any(graph.native for graph in graphs)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The same code for processors without AVX2, or what there is of them."""
    compiler = shutil.which("g++")
    assert compiler is not None
    target = tmp_path_factory.mktemp("narrow") / "narrow.so"
    sources = [source for source in library.SOURCES if source.endswith(".cpp")]
    flags = ["-std=c++17", "-O2", "-fopenmp-simd", "-Wno-psabi", "-shared", "-fPIC", "-DONE_PROCESSOR"]
    subprocess.run([compiler, *flags, *sources, "-o", str(target)], check=True)
    return library.declared(ctypes.CDLL(str(target)))


@pytest.mark.slow
def test_every_processor_computes_the_same(
    narrow: ctypes.CDLL, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(KINDS["backgrounds"], rng)
    size = 45, 70
    night, by_day, by_night = (street(rng, size) for _ in range(3))
    wanted = computed(model, night, by_day, by_night)
    known = light.Known.of(wanted)
    before = np.ascontiguousarray(wanted["before"][0].numpy())

    def run() -> list[NDArray[Any]]:
        front, end = light.LightFront(model, *size), light.LightEnd(model, *size)
        front.look(night, known)
        complete(front, known)
        day, trust = np.empty((2, *size, 3), np.uint8)
        end.put_together(before, front.seen, known, day, trust)
        return [front.seen, day, trust]

    wide = run()
    monkeypatch.setattr(light, "load", lambda: narrow)
    for one, other, most in zip(wide, run(), (1e-3, 1, 1), strict=True):
        assert np.abs(one.astype(np.float64) - other).max() <= most


@pytest.mark.parametrize("size", [(1080, 1920), (720, 1280), (611, 433), (480, 640)])
def test_large_frames_are_shrunk_and_lifted_as_the_model_does(
    size: tuple[int, int], rng: np.random.Generator
) -> None:
    model = NightToDay(TINY).eval()
    model.side = 288
    lifted = module_for(model, *size)
    assert isinstance(lifted, Lifted)
    night, day = street(rng, size), street(rng, lifted.size)
    large = LargeFrames(lifted, *size)
    large.shrink(night)
    rgb, by_day = (torch.from_numpy(one)[None].permute(0, 3, 1, 2).float() / 255 for one in (night, day))
    with torch.inference_mode():
        small, cells = lifted.shrink(rgb)
        line = lifted.line(cells, by_day)
        wanted = to_bytes(lifted.lift(rgb, cells, by_day))
    assert off(large.small, small) < 1e-6
    assert off(large.cells, cells) < 2e-6
    made = np.empty_like(night)
    large.lift(night, np.ascontiguousarray(line[0].numpy()), made)
    assert off(made, wanted) <= 1
    assert (made != wanted[0].numpy()).mean() < 1e-4  # ties of rounding
