"""One model run by each backend that a GPU has; frames are bytes in the GPU's memory, in and out."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.gpu.budget import Budget
from nightday.engines.backends.tensorrt.export import WholeGraph
from nightday.engines.backends.tensorrt.int8 import quantise, ranges
from nightday.engines.model.generator import NightToDay

Run = Callable[[Tensor], Tensor]
"""Uint8 (N, H, W, 3) → the same, on the device."""

KINDS = ("eager", "compile", "tensorrt")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it runs.

    Attributes:
        device: of the tensors.
        smoke: toy sizes, to see that everything runs.
    """

    device: torch.device
    smoke: bool = False

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Edge(nn.Module):
    """A ``WholeGraph`` with its bytes."""

    def __init__(self, whole: WholeGraph) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, frames: Tensor) -> Tensor:
        """See ``Run``."""
        day: Tensor = self.whole(frames.float())
        return day.to(torch.uint8)


def make(
    kind: str,
    model: NightToDay,
    size: tuple[int, int],
    batch: int,
    machine: Machine,
    *,
    precision: str = "fp16",
    calibration: Sequence[NDArray[np.uint8]] = (),
) -> Run:
    """The model in fp16, fp32 or int8 behind ``kind``, compiled for frames of a size. What cannot be had raises.

    ``eager`` is PyTorch with channels last, ``compile`` torch.compile with CUDA graphs, ``tensorrt`` our engine. int8
    takes its ranges from ``calibration``, by default from noise; only TensorRT computes in it, PyTorch does as if.
    """
    model = copy.deepcopy(model)
    if precision == "int8" and not calibration:
        calibration = [np.random.default_rng(0).integers(0, 60, (96, 128, 3), dtype=np.uint8)]
    if kind == "tensorrt":
        from nightday.engines.backends.tensorrt.engine import TensorRtEngine

        engine = TensorRtEngine(
            model, name="benchmark", precision=precision, max_batch=batch, calibration=calibration
        )
        engine.prepare(*size)
        return engine
    whole = WholeGraph(model, size, half=precision != "fp32")
    if precision == "int8":
        quantise(whole, ranges(model, calibration))
    edge = Edge(whole).eval().to(machine.device)
    edge = edge.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    call: Any = edge
    if kind == "compile":
        # Without a GPU this shows that the whole model is one graph to Dynamo, and needs no compiler of C++.
        options: dict[str, Any] = {"backend": "eager"} if machine.smoke else {"mode": "reduce-overhead"}
        call = torch.compile(edge, fullgraph=True, dynamic=False, **options)

    def run(frames: Tensor) -> Tensor:
        with torch.inference_mode():
            day: Tensor = call(frames)
        return day

    run(torch.zeros((batch, *size, 3), dtype=torch.uint8, device=machine.device))  # compiles
    machine.wait()
    return run


def seconds_each(
    calls: Mapping[str, Callable[[], Any]], machine: Machine, budget: Budget, *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds a call, a list of ``rounds`` for each of ``calls``, measured in turns of ``seconds``.

    Turns, because a GPU's clock falls as it warms: only what ran in the same round may be compared. With the time of
    ``budget`` spent there are fewer rounds, with none of it OutOfTimeError.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(3):
            call()
    machine.wait()
    for done in range(rounds):
        if done and budget.left < seconds * len(calls):
            break
        for name, call in calls.items():
            budget.ask(seconds)
            began, count = time.perf_counter(), 0
            while count == 0 or time.perf_counter() - began < seconds:
                for _ in range(3):
                    call()
                machine.wait()
                count += 3
            times[name].append((time.perf_counter() - began) / count)
    return times


def ratio(above: list[float], below: list[float]) -> float:
    """The median over rounds of one's time divided by the other's."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def products(model: NightToDay, size: tuple[int, int]) -> int:
    """Multiplications of the generator's convolutions for one picture of a size; the invariant's are left out."""
    total = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        pixels = given[0] if isinstance(layer, nn.ConvTranspose2d) else made
        total += pixels.numel() * layer.weight[0].numel()

    whole = WholeGraph(model, size).to("meta")
    for layer in whole.modules():  # the invariant's convolutions are no layers
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    whole(torch.zeros((1, *size, 3), device="meta"))
    return total
