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

Array = NDArray[np.float64]


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
class _Convolution:
    """A convolution and its weights, float64 (groups, out, in, height, width)."""

    node: Any
    weights: Array

    @property
    def transposed(self) -> bool:
        return str(self.node.get_type_name()) == "ConvolutionBackpropData"

    @property
    def grouped(self) -> bool:
        return str(self.node.get_type_name()) == "GroupConvolution"

    def as_given(self, x: NDArray[Any]) -> NDArray[Any]:
        """Weights or what goes with them, (groups, out, in, height, width), as OpenVINO has the weights."""
        if self.grouped:
            return x
        return x[0].swapaxes(0, 1) if self.transposed else x[0]


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
    convolutions: list[_Convolution] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an input was on real frames: least, largest and mean value of each channel, float64 (C,) each."""

    least: Array
    most: Array
    mean: Array


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
    for one, seen in zip(found, _seen(core, model, found, inputs), strict=True):
        _quantise(one, seen, most)
    model.validate_nodes_and_infer_types()


def _inputs(model: ov.Model) -> list[_Input]:
    """What the model's convolutions with constant weights take, each once."""
    found: dict[tuple[str, int], _Input] = {}
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "ConvolutionBackpropData"):
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant":
            continue
        weights = np.asarray(constant.data, np.float64)
        if kind != "GroupConvolution":
            weights = weights[None] if kind == "Convolution" else weights.swapaxes(0, 1)[None]
        port = node.input(0)
        # What is padded is rounded before that, where OpenVINO does so together with what is before.
        while (before := port.get_source_output().get_node()).get_type_name() == "Pad" and len(
            before.output(0).get_target_inputs()
        ) == 1:
            port = before.input(0)
        value = port.get_source_output()
        one = found.setdefault((value.get_node().get_name(), value.get_index()), _Input(value))
        one.ports.append(port)
        one.convolutions.append(_Convolution(node, weights))
    return list(found.values())


def _seen(
    core: ov.Core, model: ov.Model, found: Sequence[_Input], inputs: Sequence[Sequence[NDArray[np.float32]]]
) -> list[_Seen]:
    """What ``found`` were when ``model`` was given ``inputs``."""
    reductions = [
        ops.result(reduce(one.value, [0, 2, 3]))
        for one in found
        for reduce in (ops.reduce_min, ops.reduce_max, ops.reduce_mean)
    ]
    probe = ov.Model(reductions, model.get_parameters(), "ranges").clone()
    made: list[list[Array]] = []
    shapes: list[tuple[int, ...]] = []
    for given in inputs:
        if shapes != [one.shape for one in given]:
            shapes = [one.shape for one in given]
            probe.reshape(dict(zip(probe.inputs, map(list, shapes), strict=True)))
            request = core.compile_model(
                probe, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
            ).create_infer_request()
        made.append([np.array(one, np.float64) for one in request.infer(list(given)).values()])
    return [
        _Seen(
            np.min([frame[at] for frame in made], axis=0),
            np.max([frame[at + 1] for frame in made], axis=0),
            np.mean([frame[at + 2] for frame in made], axis=0),
        )
        for at in range(0, len(reductions), 3)
    ]


def _quantise(one: _Input, seen: _Seen, most: int) -> None:
    """Have the convolutions of an input compute in int8."""
    balance = _balance(one, seen)
    least, largest = _range(one, float((seen.least / balance).min()), float((seen.most / balance).max()))
    # A channel is rounded in its own steps and comes out as if they were those of all, which its weights make good.
    each = balance.reshape(1, -1, 1, 1)
    ends = [np.float32(end) if np.ptp(balance) == 0 else np.float32(end * each) for end in (least, largest)]
    rounded = ops.fake_quantize(one.value, *ends, np.float32(least), np.float32(largest), LEVELS)
    for port in one.ports:
        port.replace_source_output(rounded.output(0))
    for convolution in one.convolutions:
        _, _, into, *_ = convolution.weights.shape
        weights = convolution.weights * balance.reshape(-1, 1, into, 1, 1)
        depthwise = convolution.grouped and into == 1
        bytes_, scale = _as_bytes(weights, MOST if depthwise else most)
        converted = ops.convert(ops.constant(convolution.as_given(bytes_)), np.float32)
        scaled = ops.multiply(converted, ops.constant(convolution.as_given(scale)))
        convolution.node.input(1).replace_source_output(scaled.output(0))
        lost = weights - bytes_ * scale.astype(np.float64)
        _add_to_bias(convolution, lost, (seen.mean / balance).reshape(-1, 1, into))


def _range(one: _Input, least: float, most: float) -> tuple[float, float]:
    """What the first and the last of the levels stand for, so that one of them is 0."""
    least, most = min(least, 0.0), max(most, 0.0)
    if most - least < MIN_RANGE:
        most = least + MIN_RANGE
    if least == 0:
        return least, most
    if any(convolution.transposed for convolution in one.convolutions):
        # OpenVINO runs these in int8 only where 0 is in the middle. Elsewhere that would be less exact.
        most = max(most, -least * 127 / 128)
        return -most * 128 / 127, most
    step = (most - least) / (LEVELS - 1)
    zero = round(-least / step)
    return -zero * step, (LEVELS - 1 - zero) * step


def _as_bytes(weights: Array, most: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights as int8, of at most that absolute value, and the scale of each output channel."""
    largest = np.abs(weights).max((2, 3, 4), keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / most).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale


def _balance(one: _Input, seen: _Seen) -> Array:
    """By how much each channel (C,) is divided before it is rounded; the weights are multiplied by as much.

    All channels are rounded in the same steps. Where a channel is small and its weights are large, both lose less
    when the one is made larger and the others smaller.
    """
    found = np.maximum(np.maximum(-seen.least, seen.most), MIN_RANGE)
    return found / found.max()


def _add_to_bias(convolution: _Convolution, lost: Array, mean: Array) -> None:
    """Give back, on average, what rounding took from the weights.

    Args:
        convolution: has its bias added by the next node; where it has none, nothing is given back.
        lost: of its weights (groups, out, in, height, width).
        mean: of its input (groups, 1, in).
    """
    missing = (lost.sum((3, 4)) * mean).sum(2).reshape(1, -1, 1, 1)
    if convolution.transposed:  # each of its outputs is a sum over one in so many of the weights
        missing /= np.prod(convolution.node.get_attributes()["strides"])
    taken = list(convolution.node.output(0).get_target_inputs())
    if len(taken) != 1 or taken[0].get_node().get_type_name() != "Add":
        return
    port = taken[0].get_node().input(1 - taken[0].get_index())
    bias = port.get_source_output().get_node()
    if bias.get_type_name() == "Constant":
        port.replace_source_output(ops.constant((bias.data + missing).astype(np.float32)).output(0))
