"""Backgrounds beside frames: every backend against the model itself, what is kept of them, and what is refused."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nightday.engines import load_engine
from nightday.engines.backends.backgrounds import Derived
from nightday.engines.backends.eager import EagerEngine
from nightday.engines.backends.openvino import engine as openvino
from nightday.engines.backends.openvino.build import build
from nightday.engines.backends.openvino.engine import OpenVinoEngine
from nightday.engines.backends.torch_compile import CompileEngine
from nightday.engines.cache.code_digest import code_digest, graph_digest
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.model import evidence
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.lift import Lifted, module_for, translation_size
from nightday.engines.model.qualification_frames import (
    pack_with_backgrounds,
    synthetic_backgrounds,
    synthetic_nights,
)
from nightday.engines.model.settings import LIGHT, GeneratorSettings

Pixels = NDArray[np.uint8]
SMALL = replace(LIGHT, blocks=1, width=8, backgrounds=True)
RESNET = GeneratorSettings(blocks=1, width=4, norm="batch", backgrounds=True)


@pytest.fixture
def rng() -> np.random.Generator:
    seed = int(np.random.default_rng().integers(2**31))
    print(f"seed {seed}")
    torch.manual_seed(seed)
    return np.random.default_rng(seed)


def model_of(settings: GeneratorSettings) -> NightToDay:
    """A model that draws something, whose norms are no identities. It was trained on small pictures."""
    model = NightToDay(settings).eval()
    for part in model.generator.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            nn.init.normal_(part.bias, 0, 0.1)  # type: ignore[arg-type]
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
    model.side = 64
    return model


def cameras(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Pixels, list[Pixels], list[Pixels]]:
    """A night frame of each of three cameras, and their backgrounds by day and by night, read-only."""
    day, night = synthetic_backgrounds(size)
    frames, days, nights = [], [], []
    for number, frame in enumerate(synthetic_nights(size)[:3]):
        turned = [np.ascontiguousarray(np.rot90(x, 2 * (number % 2))) for x in (frame, day, night)]
        shade = rng.uniform(0.7, 1, 3)
        frame, by_day, by_night = (np.uint8(x * shade[i]) for i, x in enumerate(turned))
        by_day.setflags(write=False)
        by_night.setflags(write=False)
        frames.append(frame)
        days.append(by_day)
        nights.append(by_night)
    return np.stack(frames), days, nights


def wanted(model: NightToDay, *given: Pixels | list[Pixels]) -> tuple[Pixels, Pixels]:
    """What the model itself makes of it; large backgrounds are shrunk by it, too."""
    tensors = [torch.from_numpy(np.array(one)) for one in given]
    with torch.inference_mode():
        day, trust = module_for(model, *tensors[0].shape[1:3])(*tensors)
    return day.numpy(), trust.numpy()


def engine_of(backend: str, model: NightToDay, **other: Any) -> Any:
    maker: Callable[..., Any] = {
        "eager": EagerEngine,
        "compile": CompileEngine,
        "openvino": OpenVinoEngine,
    }[backend]
    return maker(copy.deepcopy(model), name="small.pt", precision="fp32", **other)


ODD, LIFTED = (45, 67), (404, 421)


@pytest.mark.parametrize(
    ("backend", "settings", "size"),
    [
        ("eager", RESNET, ODD),
        ("eager", SMALL, LIFTED),
        ("openvino", SMALL, ODD),
        ("openvino", SMALL, LIFTED),
        ("openvino", RESNET, ODD),
        ("compile", SMALL, ODD),
        ("compile", RESNET, LIFTED),
    ],
)
def test_each_frame_of_a_batch_is_translated_beside_its_own_backgrounds(
    backend: str,
    settings: GeneratorSettings,
    size: tuple[int, int],
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if backend == "compile":  # which would take two minutes; test_torch_compile does it
        monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr("nightday.engines.cores.processors", lambda: 1)  # half as much is compiled
    frames, days, nights = cameras(rng, size)
    for _ in range(20):  # random weights may call everything unclear
        model = model_of(settings)
        day, trust = wanted(model, frames, days, nights)
        if np.ptp(trust, axis=(0, 1, 2)).min() > 40:
            break
    engine = engine_of(backend, model)
    assert engine.needs_backgrounds
    made = engine.translate(frames, days, nights)
    assert made.day.shape == frames.shape
    assert made.trust.shape == (3, *translation_size(model, *size), 3)
    assert isinstance(module_for(model, *size), Lifted) == (size == LIFTED)
    for got, want in ((made.day, day), (made.trust, trust)):
        off = np.abs(got.astype(int) - want)
        assert off.max() <= 3  # a level here and there, and more where the lift enlarges it
        assert (off > 1).mean() < 0.001
    assert np.abs(made.trust.astype(int).sum(-1) - 255).max() <= 2
    assert np.abs(day.astype(int) - np.stack(days)).max() > 60  # something is drawn
    assert np.ptp(trust, axis=(0, 1, 2)).min() > 40
    # The same whatever way they are given, and a picture of (1, H, W, 3) is for all frames.
    np.testing.assert_array_equal(engine(frames, np.stack(days), np.stack(nights)), made.day)
    shared = engine(frames, days[1][None], nights[1][None])
    np.testing.assert_array_equal(shared[1], made.day[1])
    assert not np.array_equal(shared[0], made.day[0])


def test_what_does_not_fit_is_refused_in_plain_words(rng: np.random.Generator) -> None:
    frames, days, nights = cameras(rng, (32, 48))
    engine = EagerEngine(NightToDay(SMALL).eval(), name="small.pt", precision="fp32")
    engine.device = None  # as on a CPU
    day, night = np.stack(days), np.stack(nights)
    refused: list[tuple[Any, Any, str]] = [
        (
            None,
            night,
            r"^day_background: missing; the model needs the camera's backgrounds by day and by night",
        ),
        (None, None, r"^day_background and night_background: missing; "),
        (
            day[:2],
            night,
            r"^day_background is uint8 \(2, 32, 48, 3\): expected .*\(1, 32, 48, 3\) or \(3, 32, 48, 3\)",
        ),
        (day, night[0], r"^night_background is uint8 \(32, 48, 3\): expected uint8 \(1, 32, 48, 3\)"),
        (
            day[:, :16],
            night,
            r"^day_background has a picture of uint8 \(16, 48, 3\): expected uint8 \(32, 48, 3\)",
        ),
        (day, night.astype(np.float32), r"^night_background has a picture of float32"),
        (days, nights[:2], r"^night_background holds 2 pictures for 3 frames: expected one for each"),
        (torch.from_numpy(day), night, r"^day_background is a tensor on cpu: expected an array$"),
    ]
    for by_day, by_night, words in refused:
        with pytest.raises(ValueError, match=words):
            engine(frames, by_day, by_night)
    plain = EagerEngine(NightToDay(replace(SMALL, backgrounds=False)).eval(), name="p.pt", precision="fp32")
    assert not plain.needs_backgrounds
    assert plain.translate(frames).trust is None
    with pytest.raises(ValueError, match=r"^night_background is given, but the model takes no backgrounds"):
        plain(frames, night_background=night)


def test_what_comes_of_a_background_is_computed_once(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightday.engines.cores.processors", lambda: 1)
    model = model_of(SMALL)
    engine = engine_of("openvino", model)
    frames, days, nights = cameras(rng, (48, 64))
    computed = 0
    requests = engine._sizes.get((48, 64))
    known = type(requests).known

    def counted(self: Any, *pair: Pixels) -> Any:
        nonlocal computed
        computed += 1
        return known(self, *pair)

    monkeypatch.setattr(type(requests), "known", counted)
    for _ in range(3):
        engine(frames, days, nights)
        engine(frames[:1], days[0][None], nights[0][None])
    assert computed == 3  # one pair for each camera, however it is given
    # What may be written to is looked at each time.
    by_day, by_night = days[0].copy(), nights[0].copy()
    first = engine(frames[:1], by_day[None], by_night[None])
    by_day[:] = 255 - by_day
    second = engine(frames[:1], by_day[None], by_night[None])
    assert computed == 5
    off = np.abs(second.astype(int) - wanted(model, frames[:1], [by_day], [by_night])[0])
    assert (off > 1).mean() < 0.001
    assert not np.array_equal(first, second)


def fixed(value: int) -> Pixels:
    picture = np.full((4, 4, 3), value, np.uint8)
    picture.setflags(write=False)
    return picture


def test_what_is_derived_lives_as_long_as_its_pictures_and_is_bounded() -> None:
    derived: Derived[int] = Derived(keep=3)
    pictures = [fixed(i) for i in range(3)]
    for _ in range(2):
        assert [derived.get([one], lambda i=i: i) for i, one in enumerate(pictures)] == [0, 1, 2]  # type: ignore[misc]
    assert derived.get([pictures[1][:]], lambda: 99) == 1  # a view of all of it
    assert derived.get([pictures[1][:2]], lambda: 99) == 99
    assert len(derived) == 3
    assert derived.get([pictures[0]], lambda: 7) == 7  # unused for longest, it made room
    del pictures
    gc.collect()
    assert len(derived) == 0
    for i in range(200):  # memory that is used again is not taken for what it was
        assert derived.get([fixed(i)], lambda i=i: i) == i  # type: ignore[misc]
    shown_through = np.broadcast_to(
        np.zeros((4, 4, 3), np.uint8), (4, 4, 3)
    )  # read-only, of memory that is not
    assert [derived.get([shown_through], lambda i=i: i) for i in range(2)] == [0, 1]  # type: ignore[misc]


def checkpoint_of(folder: Path, settings: GeneratorSettings, rng: np.random.Generator) -> Path:
    frames, days, nights = cameras(rng, (96, 128))
    packed, pairs = pack_with_backgrounds(list(frames), list(zip(days, nights, strict=True)))
    path = folder / "small.pt"
    model = model_of(settings)
    with torch.no_grad():
        *_, last = (part for part in model.generator.modules() if isinstance(part, nn.Conv2d))
        last.weight *= 0.1  # else most of what is drawn is black or white
        model.train()
        for _ in range(40):  # batch norm's statistics
            model(*(torch.from_numpy(np.array(one)) for one in (frames, days, nights)))
    save_checkpoint(path, model.eval(), qualification_frames=packed, qualification_backgrounds=pairs)
    return path


def test_int8_is_faithful_and_a_compiled_engine_is_found_again(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "int8" not in openvino.precisions():
        pytest.skip("this CPU has no int8")
    monkeypatch.setattr("nightday.engines.cores.processors", lambda: 1)
    path, cache = checkpoint_of(tmp_path, SMALL, rng), EngineCache(tmp_path / "engines")
    built: list[str] = []

    def building(graphs: Any, folder: Path, **given: Any) -> None:
        built.extend(graph.name for graph in graphs)
        build(graphs, folder, **given)

    monkeypatch.setattr("nightday.engines.backends.openvino.build.build", building)
    engine = load_engine(path, "openvino", "int8", cache=cache)  # raises where it is not faithful
    assert engine.info.precision == "int8"
    assert built == ["known", "front", "rest", "end"]
    reference = load_engine(path, "eager", "fp32", cache=cache)
    for size in ((84, 142), (96, 128)):  # the quantised generator is for any size
        frames, days, nights = cameras(rng, size)
        made, eager = (one.translate(frames, days, nights) for one in (engine, reference))
        error = np.square(made.day.astype(float) - eager.day).mean()
        print(f"int8: {10 * np.log10(255**2 / max(error, 1e-9)):.1f} dB to eager fp32")
        assert 0 < error < 255**2 / 10**4
        assert made.trust is not None
        assert eager.trust is not None
        assert np.abs(made.trust.astype(int) - eager.trust).mean() < 6
    again = load_engine(path, "openvino", "int8", cache=cache)
    np.testing.assert_array_equal(again(frames, days, nights), made.day)
    assert built == ["known", "front", "rest", "end"] * 2  # nothing more


def test_code_that_finds_evidence_is_a_part_of_the_graph_of_models_that_use_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeing, plain = NightToDay(SMALL), NightToDay(replace(SMALL, backgrounds=False))
    before = graph_digest(seeing), graph_digest(plain)
    source = Path(evidence.__file__).read_bytes()
    monkeypatch.setattr(
        "nightday.engines.cache.code_digest.code_digest",
        lambda text: code_digest(
            text.replace(b"DARK = 4 / 255", b"DARK = 5 / 255") if text == source else text
        ),
    )
    assert graph_digest(seeing) != before[0]
    assert graph_digest(plain) == before[1]
