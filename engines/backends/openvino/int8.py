"""Post-training quantisation to int8: a float graph of OpenVINO's is changed so that its convolutions run in int8.

In front of each convolution its input is rounded to 256 levels (FakeQuantize), and its weights are an int8 constant
that is converted and multiplied by a scale for each output channel. OpenVINO makes one convolution of bytes of that.
Weights that it had to round itself would be four times as large, and with 256 levels they are computed in float.
"""

from __future__ import annotations

import functools
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

# How many values an input is rounded to.
LEVELS = 256

# The largest absolute value of int8 weights, and the same on CPUs without VNNI: they add up products in pairs, in 16
# bits, and 2 * 255 * 65 would be too much. A depthwise convolution has no pair of input channels to add up.
MOST, MOST_IN_PAIRS = 127, 63

# Flags of x86 CPUs that add up four products of bytes in 32 bits.
VNNI = {"avx512_vnni", "avx_vnni"}

# The smallest range, so that no step is zero where a layer sees nothing but zeros.
MIN_RANGE = 1e-6

# The convolutions of OpenVINO, and which axes of their weights are their output channels.
TRANSPOSED = "ConvolutionBackpropData"
OUTPUT_CHANNELS = {"Convolution": (0,), "GroupConvolution": (0, 1), TRANSPOSED: (1,)}


@functools.cache
def most_weight() -> int:
    """The largest absolute value that int8 weights may have on this CPU, see ``most_weight_of``."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    return most_weight_of(platform.machine(), info)


def most_weight_of(machine: str, cpuinfo: str) -> int:
    """127, or 63 on an x86 CPU that is not known to have VNNI, as its sums would saturate.

    Args:
        machine: as ``platform.machine`` gives it.
        cpuinfo: what ``/proc/cpuinfo`` holds; empty where there is none.
    """
    if machine.lower() not in {"x86_64", "amd64", "i386", "i686"}:
        return MOST
    found = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = set(found.group(1).split()) if found else set()
    return MOST if flags & VNNI else MOST_IN_PAIRS


@dataclass(frozen=True, slots=True)
class _Input:
    """A value that convolutions take.

    Attributes:
        value: the output of a node that it is.
        ports: where it is taken: the convolutions' own inputs, or those of paddings before them.
        convolutions: that take it.
    """

    value: Any
    ports: list[Any] = field(default_factory=list)
    convolutions: list[Any] = field(default_factory=list)


def quantise(
    core: ov.Core, model: ov.Model, inputs: Sequence[Sequence[NDArray[np.float32]]], *, most: int
) -> None:
    """Change the convolutions of a float graph, which may have any number of inputs, to int8.

    All of them are quantised: leaving the first and last in float costs time and gains nothing to the truth
    (benchmarks/NOTES.md). Everything else stays in float, unless OpenVINO finds it between two of them.

    Args:
        core: runs the graph to see what its convolutions are given.
        model: the graph; it is changed.
        inputs: what it is given for each of some real frames, in the order of its inputs.
        most: the largest absolute value of weights, ``most_weight()`` of the CPU that is to run it.
    """
    found = _inputs(model)
    for one, (least, largest) in zip(found, _seen(core, model, found, inputs), strict=True):
        _quantise(one, least, largest, most)
    model.validate_nodes_and_infer_types()


def _inputs(model: ov.Model) -> list[_Input]:
    """What the model's convolutions with constant weights take, each once."""
    found: dict[tuple[str, int], _Input] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() not in OUTPUT_CHANNELS:
            continue
        if node.input_value(1).get_node().get_type_name() != "Constant":
            continue
        port = node.input(0)
        # What is padded is rounded before that, where OpenVINO does so together with what is before.
        while (before := port.get_source_output().get_node()).get_type_name() == "Pad" and len(
            before.output(0).get_target_inputs()
        ) == 1:
            port = before.input(0)
        value = port.get_source_output()
        one = found.setdefault((value.get_node().get_name(), value.get_index()), _Input(value))
        one.ports.append(port)
        one.convolutions.append(node)
    return list(found.values())


def _seen(
    core: ov.Core, model: ov.Model, found: Sequence[_Input], inputs: Sequence[Sequence[NDArray[np.float32]]]
) -> list[tuple[float, float]]:
    """The least and the largest value of each of ``found`` when ``model`` was given ``inputs``.

    No value that was seen is cut off. Ranges that are a tenth smaller come nearer to eager fp32 with some models, and
    farther from it on frames that are brighter than these (benchmarks/NOTES.md).
    """
    reductions = [
        ops.result(reduce(one.value, list(range(len(one.value.get_partial_shape())))))
        for one in found
        for reduce in (ops.reduce_min, ops.reduce_max)
    ]
    probe = ov.Model(reductions, model.get_parameters(), "ranges").clone()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    made: list[list[float]] = []
    shapes: list[tuple[int, ...]] = []
    for given in inputs:
        if shapes != [one.shape for one in given]:
            shapes = [one.shape for one in given]
            probe.reshape(dict(zip(probe.inputs, map(list, shapes), strict=True)))
            request = core.compile_model(probe, "CPU", settings).create_infer_request()
        made.append([float(one) for one in request.infer(list(given)).values()])
    return [
        (min(frame[at] for frame in made), max(frame[at + 1] for frame in made))
        for at in range(0, len(reductions), 2)
    ]


def _quantise(one: _Input, least: float, largest: float, most: int) -> None:
    """Have the convolutions of an input compute in int8."""
    ends = [np.float32(end) for end in _range(one, least, largest)]
    rounded = ops.fake_quantize(one.value, *ends, *ends, LEVELS)
    for port in one.ports:
        port.replace_source_output(rounded.output(0))
    for convolution in one.convolutions:
        bytes_, scale = _as_bytes(convolution, most)
        scaled = ops.multiply(ops.convert(ops.constant(bytes_), np.float32), ops.constant(scale))
        convolution.input(1).replace_source_output(scaled.output(0))


def _range(one: _Input, least: float, most: float) -> tuple[float, float]:
    """What the first and the last of the levels stand for, so that one of them is 0."""
    least, most = min(least, 0.0), max(most, 0.0)
    if most - least < MIN_RANGE:
        most = least + MIN_RANGE
    if least == 0:
        return least, most
    if any(convolution.get_type_name() == TRANSPOSED for convolution in one.convolutions):
        # OpenVINO runs these in int8 only where 0 is in the middle. Elsewhere that would be less exact.
        most = max(most, -least * 127 / 128)
        return -most * 128 / 127, most
    step = (most - least) / (LEVELS - 1)
    zero = round(-least / step)
    return -zero * step, (LEVELS - 1 - zero) * step


def _as_bytes(convolution: Any, most: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A convolution's weights as int8, of at most that absolute value, and the scale of each output channel."""
    kind, weights = convolution.get_type_name(), convolution.input_value(1).get_node().data
    if kind == "GroupConvolution" and weights.shape[2] == 1:
        most = MOST
    within = tuple(axis for axis in range(weights.ndim) if axis not in OUTPUT_CHANNELS[kind])
    largest = np.abs(weights).max(within, keepdims=True)
    scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(most)
    return np.rint(weights / scale).astype(np.int8), scale
