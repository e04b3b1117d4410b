"""The torch.compile backend, on this machine's C++ compiler."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from nightday.engines import EngineError
from nightday.engines.backends import torch_compile
from nightday.engines.backends.torch_compile import CompileEngine
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings

SIZE = (48, 64)
SMALL = GeneratorSettings(kind="light", blocks=1, width=4, norm="batch")


def model_of(settings: GeneratorSettings) -> NightToDay:
    torch.manual_seed(seed := int(np.random.default_rng().integers(2**31)))
    print(f"{seed=}")
    model = NightToDay(settings)
    shape = (2, *SIZE, 3)
    beside = [torch.randint(0, 255, shape, dtype=torch.uint8) for _ in range(2 * settings.backgrounds)]
    with torch.no_grad():
        for _ in range(5):  # batch norm's statistics
            model(torch.randint(0, 60, shape, dtype=torch.uint8), *beside)
        for parameter in model.generator.parameters():
            parameter.mul_(2)  # as initialised it makes grey of everything
    return model.eval()


@pytest.fixture(scope="module")
def model() -> NightToDay:
    return model_of(SMALL)


def engine(model: NightToDay, **other: object) -> CompileEngine:
    return CompileEngine(copy.deepcopy(model), name="small.pt", **{"precision": "fp32", **other})  # type: ignore[arg-type]


def test_it_draws_what_eager_draws_whatever_the_batch(
    model: NightToDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is taken and guarded as ever, but its operators run as they are; the next test compiles."""
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda module, **_: compile_(module, dynamic=False, backend="aot_eager")
    )
    compiled_engine = engine(model)
    assert (compiled_engine.info.backend, compiled_engine.info.precision) == ("compile", "fp32")
    assert not compiled_engine.prepared(*SIZE)
    compiled_engine.prepare(*SIZE)
    assert compiled_engine.prepared(*SIZE)
    frames = np.random.default_rng().integers(0, 60, (3, *SIZE, 3), dtype=np.uint8)
    with torch.inference_mode():
        want = model(torch.from_numpy(frames)).numpy()
    assert want.std() > 2
    day = compiled_engine(frames)
    assert day.dtype == np.uint8
    assert np.abs(day.astype(int) - want).mean(axis=(1, 2, 3)).max() <= 0.5
    for count in (1, 2):  # nothing is compiled for them
        with torch.compiler.set_stance("fail_on_recompile"):
            part = compiled_engine(frames[:count])
        np.testing.assert_array_equal(part, day[:count])
    kept = day.copy()
    compiled_engine(60 - frames)  # a later call must not write into an earlier result
    np.testing.assert_array_equal(day, kept)
    if compiled_engine.device is None:  # the CPU stands in for a GPU
        with pytest.raises(ValueError, match="expected an array"):
            compiled_engine(torch.from_numpy(frames))
        compiled_engine.device = torch.device("cpu")
    there = torch.from_numpy(frames).to(compiled_engine.device)
    np.testing.assert_array_equal(compiled_engine(there).cpu().numpy(), day)
    with pytest.raises(ValueError, match="expected uint8"):
        compiled_engine(frames[0])


def test_compiled_code_draws_what_eager_draws_beside_backgrounds(rng: np.random.Generator) -> None:
    model = model_of(replace(SMALL, backgrounds=True))
    frames, days, nights = (rng.integers(0, top, (3, *SIZE, 3), dtype=np.uint8) for top in (60, 255, 60))
    compiled_engine = engine(model)
    made = compiled_engine.translate(frames, list(days), list(nights))
    with torch.inference_mode():
        wanted = model(*(torch.from_numpy(one) for one in (frames, days, nights)))
    for got, want in zip((made.day, made.trust), wanted, strict=True):
        assert got is not None
        assert float(want.float().std()) > 2
        off = np.abs(got.astype(int) - want.numpy())
        assert off.max() <= 3
        assert (off > 1).mean() < 0.001
    for count in (1, 2):  # nothing is compiled for them
        with torch.compiler.set_stance("fail_on_recompile"):
            part = compiled_engine(frames[:count], list(days[:count]), list(nights[:count]))
        np.testing.assert_array_equal(part, made.day[:count])


def test_without_a_compiler_it_is_not_offered_and_says_what_to_install(
    model: NightToDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "fp32" in torch_compile.precisions()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert torch_compile.precisions() == ()
    with pytest.raises(
        EngineError, match=r"^backend compile: needs a C\+\+ compiler .* apt-get install g\+\+"
    ):
        engine(model)


def test_what_cannot_be_compiled_is_one_line(model: NightToDay, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(model)

    def broken(*_: object) -> None:
        raise RuntimeError("fatal error: Python.h:\nno such file")

    monkeypatch.setattr(made, "_run", broken)
    with pytest.raises(
        EngineError, match=r"^backend compile: 48×64 cannot be compiled \(fatal error: .*\); "
    ):
        made.prepare(48, 64)
    assert not made.prepared(48, 64)
    with pytest.raises(EngineError, match="precision int8: compile runs fp32 or bf16"):
        engine(model, precision="int8")
