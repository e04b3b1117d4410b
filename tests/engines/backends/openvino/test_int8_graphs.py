"""Graphs of one convolution in int8: what OpenVINO computes of them, against the same sums in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from openvino import opset13 as ops

from nightday.engines.backends.openvino import int8
from nightday.engines.backends.openvino.build import CORE, computes_in

pytestmark = pytest.mark.skipif(not computes_in("INT8"), reason="this CPU has no int8")

Floats = NDArray[Any]
KINDS = ("plain", "strided", "pointwise", "depthwise", "grouped", "transposed")
PADDED_WITH_ZEROS = ("plain", "depthwise")  # by the convolution itself; the others by the edge, before
INTO, OUT = 32, 24


@pytest.fixture
def rng() -> np.random.Generator:
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    return np.random.default_rng(seed)


def weights_for(kind: str, rng: np.random.Generator) -> Floats:
    """As OpenVINO takes them, of quite different sizes for each output channel."""
    size = 1 if kind == "pointwise" else 4 if kind == "transposed" else 3
    shape = {
        "depthwise": (INTO, 1, 1),
        "grouped": (4, OUT // 4, INTO // 4),
        "transposed": (INTO, OUT),
    }.get(kind, (OUT, INTO))
    weights = rng.normal(0, 0.1, (*shape, size, size))
    if kind == "transposed":
        weights *= rng.uniform(0.1, 3, (1, OUT, 1, 1))
        weights[:, 0] = 0.3
    else:
        weights *= rng.uniform(0.1, 3, (*shape[:-1], *[1] * 3))
        weights[0] = 0.3  # whose sums are the largest that there can be
    return weights.astype(np.float32)


def bias_for(kind: str, rng: np.random.Generator) -> Floats:
    bias: Floats = rng.normal(0, 1, (1, INTO if kind == "depthwise" else OUT, 1, 1)).astype(np.float32)
    return bias


def graph_of(kind: str, weights: Floats, bias: Floats, *, positive: bool) -> ov.Model:
    """Of two inputs: what is convolved, after a rectifier or not, and what is added to it."""
    x = ops.parameter([1, INTO, -1, -1], np.float32)
    beside = ops.parameter([1, bias.shape[1], -1, -1], np.float32)
    given = ops.relu(x) if positive else ops.multiply(x, np.float32(1.5))
    ends = np.array([0, 0, 1, 1])
    pad = [1, 1] if kind in PADDED_WITH_ZEROS else [0, 0]
    if kind not in PADDED_WITH_ZEROS:
        given = ops.pad(given, ends, ends, "edge")
    stride = [2, 2] if kind in ("strided", "transposed") else [1, 1]
    if kind == "transposed":
        made = ops.convolution_backprop_data(
            given, ops.constant(weights), strides=stride, pads_begin=[3, 3], pads_end=[3, 3]
        )
    else:
        convolve = ops.group_convolution if kind in ("depthwise", "grouped") else ops.convolution
        made = convolve(given, ops.constant(weights), stride, pad, pad, [1, 1])
    sum_ = ops.add(ops.add(made, ops.constant(bias)), beside)
    return ov.Model([ops.result(sum_)], [x, beside], kind)


def convolved(kind: str, x: Floats, weights: Floats) -> Floats:
    """The convolution of a graph, by PyTorch in float64."""
    how = "constant" if kind in PADDED_WITH_ZEROS else "replicate"
    given = F.pad(torch.from_numpy(np.asarray(x, np.float64)), (1, 1, 1, 1), mode=how)
    taps = torch.from_numpy(np.asarray(weights, np.float64))
    if kind == "transposed":
        return F.conv_transpose2d(given, taps, stride=2, padding=3).numpy()
    if kind in ("depthwise", "grouped"):
        return F.conv2d(given, taps.flatten(0, 1), groups=len(taps)).numpy()
    return F.conv2d(given, taps, stride=2 if kind == "strided" else 1).numpy()


def frames(rng: np.random.Generator) -> list[Floats]:
    """Channels of quite different sizes; parts of each picture are all as large as they get."""
    size = rng.uniform(0.05, 4, (1, INTO, 1, 1))
    made = [np.clip(rng.normal(0, 0.5, (1, INTO, 20, 24)), -0.8, 1) * size for _ in range(3)]
    for one in made:
        one[..., :7, :] = size
    return [one.astype(np.float32) for one in made]


def constants(model: ov.Model) -> tuple[Any, Floats, Floats]:
    """Of a quantised graph: its FakeQuantize, its int8 weights and their scale."""
    (rounding,) = (node for node in model.get_ops() if node.get_type_name() == "FakeQuantize")
    (node,) = (node for node in model.get_ops() if "Convolution" in node.get_type_name())
    product = node.input_value(1).get_node()
    bytes_ = product.input_value(0).get_node().input_value(0).get_node().data
    return rounding, bytes_, product.input_value(1).get_node().data


def run(model: ov.Model, *given: Floats) -> tuple[Floats, str]:
    """What a graph makes of inputs, and what its convolution was run by."""
    model = model.clone()
    model.reshape(dict(zip(model.inputs, [list(one.shape) for one in given], strict=True)))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1", "ENABLE_CPU_PINNING": "NO"}
    compiled = CORE.compile_model(model, "CPU", settings)
    by = run_by(compiled)
    assert len(by) == 1
    return np.array(compiled(list(given))[0]), by[0]


def run_by(compiled: Any) -> list[str]:
    """The type in which each convolution of a compiled graph runs, u8 or i8 where it is int8."""
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return [
        one["runtimePrecision"].astype(str)
        for one in told
        if one["layerType"].astype(str) in ("Convolution", "Deconvolution")
    ]


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_bytes_are_exact_and_near_the_float_graph(
    rng: np.random.Generator, kind: str, positive: bool
) -> None:
    weights, bias = weights_for(kind, rng), bias_for(kind, rng)
    graph = graph_of(kind, weights, bias, positive=positive)
    seen = frames(rng)
    beside = [rng.normal(0, 1, run_shape(kind, bias, one)).astype(np.float32) for one in seen]
    wanted, precision = run(graph, seen[0], beside[0])
    assert precision == "f32"
    int8.quantise(CORE, graph, list(zip(seen, beside, strict=True)), most=int8.most_weight())
    rounding, bytes_, scale = constants(graph)
    assert bytes_.dtype == np.int8
    assert np.abs(bytes_).max() == (127 if kind == "depthwise" else int8.most_weight())

    # The same sums, of inputs that lie surely within a level
    low, high, *made_of = (
        float(rounding.input_value(i).get_node().data.astype(np.float64)) for i in range(1, 5)
    )
    assert made_of == [low, high]
    greatest = max(float((np.maximum(one, 0) if positive else one * 1.5).max()) for one in seen)
    assert low <= 0 < greatest <= high * (1 + 1e-3) + (high - low) / 255  # nothing that was seen is cut off
    levels = rng.integers(0, 256, seen[0].shape)
    levels[..., 7:, :] = np.where(rng.random(levels[..., 7:, :].shape) < 0.5, 255, levels[..., 7:, :])
    x = low + (levels + rng.uniform(-0.4, 0.4, levels.shape)) * (high - low) / 255
    x = np.maximum(x, 0) if positive else x
    rounded = low + levels * (high - low) / 255
    given = (x / (1 if positive else 1.5)).astype(np.float32)
    made, precision = run(graph, given, beside[0])
    assert precision in ("u8", "i8")
    exact = convolved(kind, rounded, bytes_ * scale.astype(np.float64)) + bias + beside[0]
    np.testing.assert_allclose(made, exact, atol=2e-5 * np.abs(exact).max())

    # And what the float graph makes of a frame
    made, _ = run(graph, seen[0], beside[0])
    np.testing.assert_allclose(
        convolved(kind, np.maximum(seen[0], 0) if positive else seen[0] * 1.5, weights) + bias + beside[0],
        wanted,
        atol=1e-4 * np.abs(wanted).max(),
    )
    error = (made - wanted).std(axis=(0, 2, 3)) / wanted.std(axis=(0, 2, 3))
    print(f"error of each channel, share of its spread: {error.round(4)}")
    assert error.max() < 0.15
    assert (made - wanted).std() < 0.02 * wanted.std()


def run_shape(kind: str, bias: Floats, x: Floats) -> tuple[int, ...]:
    """The shape of what a convolution makes."""
    height, width = x.shape[2:]
    if kind == "transposed":
        height, width = 2 * height, 2 * width
    elif kind == "pointwise":
        height, width = height + 2, width + 2
    elif kind == "strided":
        height, width = (height + 1) // 2, (width + 1) // 2
    return 1, bias.shape[1], height, width


@pytest.mark.parametrize(
    ("machine", "flags", "most"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512_vnni bmi2", 127),
        ("AMD64", "flags: avx2 avx_vnni", 127),
        ("x86_64", "flags\t\t: fpu avx2 avx512f\nbugs\t\t: avx_vnni", 63),
        ("x86_64", "", 63),
        ("aarch64", "Features\t: fp asimd asimddp", 127),
        ("arm64", "", 127),
    ],
)
def test_weights_are_smaller_where_sums_of_bytes_saturate(machine: str, flags: str, most: int) -> None:
    assert int8.most_weight_of(machine, f"processor\t: 0\nmodel name\t: any\n{flags}\n") == most


def test_what_is_not_convolved_stays_in_float_and_weights_take_a_byte(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    weights, bias = weights_for("strided", rng), bias_for("strided", rng)
    graph = graph_of("strided", weights, bias, positive=True)
    seen = frames(rng)
    beside = [np.zeros(run_shape("strided", bias, one), np.float32) for one in seen]
    ov.save_model(graph, tmp_path / "float.xml", compress_to_fp16=False)
    before = [node.get_type_name() for node in graph.get_ops()]
    int8.quantise(CORE, graph, list(zip(seen, beside, strict=True)), most=127)
    after = [node.get_type_name() for node in graph.get_ops()]
    for kind in ("Add", "Relu", "Pad", "Convolution", "Parameter", "Result"):
        assert before.count(kind) == after.count(kind)
    assert after.count("FakeQuantize") == after.count("Convert") == after.count("Multiply") == 1
    ov.save_model(graph, tmp_path / "bytes.xml", compress_to_fp16=False)
    floats, bytes_ = ((tmp_path / name).stat().st_size for name in ("float.bin", "bytes.bin"))
    assert floats >= weights.nbytes
    assert bytes_ < weights.nbytes / 4 + 2000


def test_channels_that_are_always_zero_and_weights_that_are_zero_do_no_harm(rng: np.random.Generator) -> None:
    weights, bias = weights_for("plain", rng), bias_for("plain", rng)
    weights[1], weights[:, 2] = 0, 0
    graph = graph_of("plain", weights, bias, positive=False)
    seen = frames(rng)
    for one in seen:
        one[:, 3:5] = 0
    beside = [np.zeros(run_shape("plain", bias, one), np.float32) for one in seen]
    wanted, _ = run(graph, seen[0], beside[0])
    int8.quantise(CORE, graph, list(zip(seen, beside, strict=True)), most=int8.most_weight())
    made, _ = run(graph, seen[0], beside[0])
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made[:, 1], wanted[:, 1], atol=1e-5)
    assert (made - wanted).std() < 0.02 * wanted.std()

    dark = graph_of("plain", weights, bias, positive=False)
    int8.quantise(CORE, dark, [(np.zeros_like(seen[0]), beside[0])], most=int8.most_weight())
    made, _ = run(dark, np.zeros_like(seen[0]), beside[0])
    np.testing.assert_allclose(made, np.broadcast_to(bias, made.shape), atol=1e-5)
