"""int8 as TensorRT takes it, run by PyTorch: arithmetic, ranges, graph, and what it costs the shipped models."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nightday.engines.backends.base import Translation
from nightday.engines.backends.device_backgrounds import small
from nightday.engines.backends.tensorrt.export import WholeGraph, export_program
from nightday.engines.backends.tensorrt.int8 import Int8Conv, convolutions, quantise, ranges
from nightday.engines.model.blocks import ResizeConv2d
from nightday.engines.model.checkpoint import load_checkpoint, read_checkpoint
from nightday.engines.model.lift import module_for
from nightday.engines.model.qualification_frames import (
    RgbImage,
    backgrounds_of_content,
    frames_of_checkpoint,
)
from nightday.engines.selection.qualify import psnr, qualify
from nightday.train.footage.scene import read_frames
from tests.engines.backends.tensorrt.test_export import SETTINGS, trained

ROOT = Path(__file__).parents[4]
WEIGHTS = ROOT / "weights"
CLIPS = ROOT / "benchmarks" / "clips"


@pytest.fixture(autouse=True)
def seed() -> int:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    torch.manual_seed(seed)
    return seed


def in_integers(x: NDArray[np.float64], conv: nn.Conv2d, x_range: float) -> NDArray[np.float64]:
    """A convolution of (C, H, W) in whole numbers, each sum scaled back once, by naive loops."""
    assert conv.bias is not None
    weight, bias = (p.detach().double().numpy() for p in (conv.weight, conv.bias))
    scale = np.abs(weight).max((1, 2, 3)) / 127
    with np.errstate(invalid="ignore"):
        weight8 = np.nan_to_num(weight / scale[:, None, None, None]).round().astype(np.int64)
    x8 = (x * 127 / x_range).round().clip(-128, 127).astype(np.int64)
    x8 = np.pad(x8, ((0, 0), *[(int(p), int(p)) for p in conv.padding]))
    (out, each, high, wide), step = weight.shape, conv.stride[0]
    rows, columns = (x8.shape[1] - high) // step + 1, (x8.shape[2] - wide) // step + 1
    made = np.zeros((out, rows, columns))
    for o, i, j in itertools.product(range(out), range(rows), range(columns)):
        first = o // (out // conv.groups) * each
        seen = x8[first : first + each, i * step : i * step + high, j * step : j * step + wide]
        made[o, i, j] = (seen * weight8[o]).sum() * scale[o] * x_range / 127 + bias[o]
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    "conv",
    [
        lambda: nn.Conv2d(5, 7, 3, padding=1),
        lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
        lambda: nn.Conv2d(6, 6, 5, padding=2, groups=6),
        lambda: nn.Conv2d(4, 3, 7),
        lambda: nn.Conv2d(8, 1, 1),
    ],
    ids=["padded", "strided", "depthwise", "7x7", "to one channel"],
)
def test_it_computes_in_integers(conv: Callable[[], nn.Conv2d], dtype: torch.dtype) -> None:
    layer = conv().requires_grad_(False)
    layer.weight.mul_(10 ** torch.empty(len(layer.weight), 1, 1, 1).uniform_(-2, 1))
    layer.weight[0] = 0  # a channel that batch norm switched off
    layer = layer.to(dtype)
    x = torch.randn(2, layer.in_channels, 9, 10).to(dtype)
    x_range = float(x.abs().max()) * 0.7  # the largest are cut
    made = Int8Conv(layer, x_range)(x)
    assert made.dtype == dtype
    for given, got in zip(x.double().numpy(), made, strict=True):
        want = in_integers(given, layer, float(np.float32(x_range)))
        near = 2e-3 if dtype == torch.float16 else 1e-4
        # Where rounding is a toss-up, float32 and float64 may differ by a step.
        off = np.abs(got.double().numpy() - want) > near * np.abs(want).max()
        assert off.mean() < 0.01
    nothing = Int8Conv(layer, 0.0)(torch.zeros_like(x))
    assert torch.equal(nothing, layer.bias[:, None, None].expand_as(nothing))  # type: ignore[index]


@pytest.mark.parametrize("name", SETTINGS)
def test_ranges_are_the_largest_values_that_the_generator_sees(name: str, seed: int) -> None:
    model = trained(SETTINGS[name], seed)
    rng = np.random.default_rng(seed)
    # The second is lifted, hence seen at another size; the third is the brightest.
    sizes, levels = ((40, 56), (402, 410), (33, 47)), (30, 60, 256)
    frames = [
        rng.integers(0, top, (*size, 3), dtype=np.uint8) for size, top in zip(sizes, levels, strict=True)
    ]
    model.side = 96
    pairs = [(255 - frame, frame // 2) for frame in frames] if model.settings.backgrounds else []
    got = ranges(model, frames, pairs)

    seen: dict[str, list[float]] = {}
    for place, layer in model.generator.named_modules():
        if isinstance(layer, nn.Conv2d) and not isinstance(layer, ResizeConv2d):
            layer.register_forward_pre_hook(
                lambda layer, given, place=place: seen.setdefault(place, []).append(
                    float(given[0].abs().max())
                )
            )
    with torch.no_grad():
        for i, frame in enumerate(frames):
            module = module_for(model, *frame.shape[:2])
            beside = [small(module, torch.from_numpy(one))[None] for one in (pairs[i] if pairs else ())]
            module(torch.from_numpy(frame)[None], *beside)
    assert got == pytest.approx([max(values) for values in seen.values()], rel=1e-3)
    assert all(len(values) == len(frames) for values in seen.values())


@pytest.mark.parametrize("name", SETTINGS)
def test_the_graph_has_each_convolution_in_int8_and_all_else_as_in_fp16(name: str, seed: int) -> None:
    model = trained(SETTINGS[name], seed)
    frames = [np.random.default_rng(seed).integers(0, 256, (40, 48, 3), dtype=np.uint8)]
    whole = WholeGraph(model, (40, 48), half=True)
    pairs = zip(convolutions(WholeGraph(model, (40, 48))).values(), convolutions(whole).values(), strict=True)
    for measured, layer in pairs:  # a range belongs to the layer that it was measured at
        assert torch.equal(measured.weight.half(), layer.weight.half())
    beside = [(255 - frames[0], frames[0] // 2)] if model.settings.backgrounds else []
    quantise(whole, ranges(model, frames, beside))
    program = export_program(whole, 2)
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]

    def types(what: str) -> list[torch.dtype]:
        return [node.meta["val"].dtype for node in nodes if what in str(node.target)]

    enlarging = sum(isinstance(m, (nn.ConvTranspose2d, ResizeConv2d)) for m in model.generator.modules())
    layers = (
        sum(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in model.generator.modules()) - enlarging
    )
    assert types("nightday.conv_int8") == [torch.float16] * (layers - 1) + [torch.float32]
    assert types("aten.conv2d") == [torch.float32] * (0 if model.invariant is None else 6)
    assert types("aten.conv_transpose2d") == [torch.float16] * enlarging
    statistics = [node.args[0].meta["val"].dtype for node in nodes if "instance_norm" in str(node.target)]
    norms = sum(isinstance(m, nn.InstanceNorm2d) for m in model.generator.modules())
    assert statistics == [torch.float32] * (norms + (model.invariant is not None))
    pictures = torch.from_numpy(np.stack(frames * 2)).float()
    pictures[1] /= 4
    given = [pictures, 255 - pictures, pictures // 2] if beside else [pictures]
    with torch.no_grad():
        got, want = program.module()(*given), whole(*given)
    for one, same in zip(got, want, strict=True):  # of each output, or of each frame
        assert torch.equal(one, same)


def runs(whole: WholeGraph) -> Callable[..., Translation[RgbImage]]:
    """A graph for bytes, (1, H, W, 3): a frame, and its backgrounds where the model takes them."""

    def run(*given: RgbImage) -> Translation[RgbImage]:
        with torch.inference_mode():
            made = whole(*(torch.from_numpy(np.array(one)).float() for one in given))
            made = made if isinstance(made, tuple) else (made,)
            return Translation(*(one.to(torch.uint8).numpy() for one in made))

    return run


# Most of what the general model shows is x_ref, whatever it computes in.
@pytest.mark.parametrize(("name", "below"), [("a1_barnet", 50), ("general", 60)])
def test_shipped_models_pass_the_bar_of_int8(name: str, below: float) -> None:
    path = WEIGHTS / f"{name}.pt"
    model, own_frames = load_checkpoint(path), frames_of_checkpoint(path)
    own_pairs = backgrounds_of_content(read_checkpoint(path), path)
    size = own_frames[0].shape[:2]
    given = [
        tuple(picture[None] for picture in (frame, *(own_pairs[i] if own_pairs else ())))
        for i, frame in enumerate(own_frames)
    ]
    eager = runs(WholeGraph(model, size))
    wanted = [eager(*one) for one in given]
    found = ranges(model, own_frames, own_pairs)

    def verdict(scale: float) -> tuple[float, str]:
        whole = quantise(WholeGraph(model, size, half=True), [scale * most for most in found])
        told = qualify(runs(whole), wanted, given, precision="int8")
        return told.mean, told.mismatch

    right, fault = verdict(1)
    half = qualify(runs(WholeGraph(model, size, half=True)), wanted, given, precision="fp16")
    print(f"{name}: int8 to fp32 {right:.1f} dB, fp16 {half.mean:.1f}")
    assert not fault
    assert not half.mismatch
    assert right < min(below, half.mean - 5)  # it is int8
    assert verdict(0.1)[1]  # ranges matter


def test_int8_is_no_farther_from_the_truth() -> None:
    path = WEIGHTS / "a1_barnet.pt"
    model, own_frames = load_checkpoint(path), frames_of_checkpoint(path)
    clips = ("night_a1_barnet_simulated.mp4", "day_tfl_09731_a1_barnet.mp4")
    nights, days = ([frame[40:248, 56:312] for frame in read_frames(CLIPS / clip)[-40::13]] for clip in clips)
    size = nights[0].shape[:2]
    whole = WholeGraph(model, size)
    fp32, int8 = runs(whole), runs(quantise(WholeGraph(model, size, half=True), ranges(model, own_frames)))
    before, after = (
        np.mean(
            [
                psnr(run(np.ascontiguousarray(night)[None]).day[0], day)
                for night, day in zip(nights, days, strict=True)
            ]
        )
        for run in (fp32, int8)
    )
    print(f"to the truth: fp32 {before:.2f} dB, int8 {after:.2f} dB")
    assert before > 20  # they are pairs
    assert after > before - 0.5
