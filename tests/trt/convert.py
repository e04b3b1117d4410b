"""Converts every shipped graph to one TensorRT-RTX engine where there is no GPU; run by ``test_conversion``.

    .venv-rtx/bin/python -m tests.trt.convert SEED

prints a line of JSON for each graph: what the builder was given, or why it was not converted. TensorRT-RTX builds
ahead of time, so its builder really runs; loading what it made takes a GPU.
"""

from __future__ import annotations

import importlib
import json
import random
import re
import sys
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nightday.engines.backends.tensorrt import int8
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.lift import NOT_LIFTED
from nightday.engines.model.qualification_frames import synthetic_backgrounds, synthetic_nights
from nightday.engines.model.settings import COMPACT, LIGHT, PAPER, GeneratorSettings

MAX_BATCH = 8
PRECISIONS = ("fp32", "fp16", "int8")
REFERENCE = (72, 104)

LIFTED = "light blended and lifted"
LARGE = (LIFTED, "compact beside backgrounds, lifted")

# Every graph that a checkpoint can ask for, each with x_ref as an input, or with both backgrounds. What comes to be
# in the graph joins here. Of blocks, which are all alike, variants have few: each costs the builder a second.
GRAPHS: dict[str, GeneratorSettings] = {
    name: replace(settings, reference=REFERENCE, blend=name == LIFTED)
    for name, settings in (
        ("paper", PAPER),
        ("compact", COMPACT),
        ("light", LIGHT),
        (LIFTED, replace(LIGHT, blocks=1)),
        ("compact replace", replace(COMPACT, blocks=1, input="replace", norm="instance")),
        ("compact rgb transposed", replace(COMPACT, blocks=1, input="rgb", upsample="transposed")),
    )
} | {
    "light beside backgrounds": replace(LIGHT, blocks=1, backgrounds=True),
    "compact beside backgrounds, lifted": replace(COMPACT, blocks=1, backgrounds=True),
}

# Graphs differ in their generators, or in what is around these; the latter are alike in every precision.
CASES = [
    (name, precision)
    for name, settings in GRAPHS.items()
    for precision in PRECISIONS
    if not settings.backgrounds or precision == ("fp16" if name in LARGE else "int8")
]

given: list[dict[str, Any]] = []
"""What builders were given, by ``_watch``."""


@torch.library.custom_op("nightday_tests::torch_only", mutates_args=())
def torch_only(x: Tensor) -> Tensor:
    """An operator that TensorRT cannot know."""
    return x.clone()


@torch_only.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Unconvertible(nn.Module):
    """A layer that has to stay in torch."""

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = torch_only(x)
        return made


def model_of(name: str) -> NightToDay:
    """A model of a graph."""
    model = NightToDay(GRAPHS[name]).eval()
    if name in LARGE:
        model.side = min(REFERENCE)
    return model


def unconvertible() -> NightToDay:
    """A model of which one layer has to stay in torch."""
    model = NightToDay(GRAPHS["light"]).eval()
    model.generator = nn.Sequential(model.generator, Unconvertible())
    return model


def stand_in_for_cuda() -> None:
    """What torch_tensorrt asks of CUDA on its way to the builder, for a torch without a GPU."""
    cuda: Any = torch.cuda
    cuda.is_available = lambda: False
    cuda.get_device_capability = lambda *a, **k: (9, 0)
    cuda.get_device_name = lambda *a, **k: "none"
    cuda.current_device = lambda *a, **k: 0
    cuda.mem_get_info = lambda *a, **k: (8 << 30, 16 << 30)
    cuda.synchronize = cuda.empty_cache = lambda *a, **k: None
    if not hasattr(torch._C, "_CudaDeviceProperties"):
        setattr(torch._C, "_CudaDeviceProperties", object)  # noqa: B010 - a type to mypy


def watch_the_builder() -> None:
    """Note what TensorRT's builder is given, and keep engines as bytes instead of loading them."""
    from torch_tensorrt.dynamo.conversion import _TRTInterpreter

    trt: Any = importlib.import_module("tensorrt")  # TensorRT-RTX, since torch_tensorrt is imported
    builder: Any = trt.Builder
    profiles: list[Any] = []

    class Unloaded:
        def __init__(self, data: Any) -> None:
            self.data = data

        def serialize(self, *_: Any) -> Any:
            return self.data

    class Runtime:
        def __init__(self, *_: Any) -> None:
            pass

        def deserialize_cuda_engine(self, data: Any) -> Unloaded | None:
            return None if data is None else Unloaded(data)

    class Builder(builder):
        def create_optimization_profile(self) -> Any:
            profiles.append(super().create_optimization_profile())
            return profiles[-1]

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            names = [network.get_input(i).name for i in range(network.num_inputs)]
            shapes = [
                [[list(shape) for shape in profile.get_shape(name)] for name in names] for profile in profiles
            ]
            given.append({**describe(trt, network, config), "profiles": shapes})
            profiles.clear()
            return super().build_serialized_network(network, config)

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return {"Runtime": Runtime, "Builder": Builder}.get(name) or getattr(trt, name)

    _TRTInterpreter.trt = Watched()


def describe(trt: Any, network: Any, config: Any) -> dict[str, Any]:
    """A network's edge, its convolutions, norms and Q layers by type, and the settings that decide its precision."""
    layers = [network.get_layer(i) for i in range(network.num_layers)]

    def types(*kinds: Any) -> list[str]:
        return [layer.get_output(0).dtype.name for layer in layers if layer.type in kinds]

    return {
        "inputs": [_edge(network.get_input(i)) for i in range(network.num_inputs)],
        "outputs": [_edge(network.get_output(i)) for i in range(network.num_outputs)],
        "convolutions": types(trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION),
        "norms": types(trt.LayerType.NORMALIZATION),
        "quantised": types(trt.LayerType.QUANTIZE),
        "tf32": config.get_flag(trt.BuilderFlag.TF32),
        "strongly_typed": network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED),
    }


def _edge(tensor: Any) -> list[Any]:
    return [tensor.dtype.name, list(tensor.shape)]


def computed_in(plan: bytes) -> list[list[str]]:
    """Types of input and weights of each convolution that an engine runs, in no order.

    TensorRT-RTX 1.7 writes what it runs as text into its engines; an engine that cannot be loaded cannot be inspected
    otherwise.
    """
    text = plan.decode("latin1")
    tensors = re.findall(r'^ *(?:sub_)?tensor={ .*?\bname="([^"]+)".*? type=(\w+) }', text, re.MULTILINE)
    types = dict(tensors)
    inputs = re.findall(r'^ *corrltn={ name="[^"]+" output={[^}]*} input={([^}]*)}', text, re.MULTILINE)
    return [[types[name] for name in re.findall(r'"([^"]+)"', named)[:2]] for named in inputs]


def convert(name: str, model: NightToDay, size: tuple[int, int], precision: str) -> dict[str, Any]:
    """The line of one graph, converted by the very function that the engine calls."""
    from nightday.engines.backends.tensorrt.convert import build

    line: dict[str, Any] = {"graph": name, "precision": precision, "size": size}
    began = time.process_time()
    given.clear()
    own = [synthetic_backgrounds((64, 96))] if model.settings.backgrounds else []
    ranges = int8.ranges(model, synthetic_nights((64, 96))[:1], own) if precision == "int8" else ()
    try:
        data = build(model, size=size, max_batch=MAX_BATCH, precision=precision, ranges=ranges)
    except Exception as error:
        return {**line, "error": f"{type(error).__name__}: {error}"}
    (network,) = given  # one engine
    spent = round(time.process_time() - began, 1)
    return {**line, **network, "computed_in": computed_in(data), "bytes": len(data), "cpu_seconds": spent}


def main(seed: int) -> None:
    stand_in_for_cuda()
    watch_the_builder()
    rng = random.Random(seed)
    torch.manual_seed(seed)
    models = {name: model_of(name) for name in GRAPHS}
    for name, precision in CASES:
        least, most = (NOT_LIFTED + 1, NOT_LIFTED + 100) if name in LARGE else (48, 160)
        size = (rng.randint(least, most), rng.randint(least, most))
        print(json.dumps(convert(name, models[name], size, precision)), flush=True)
    print(json.dumps(convert("unconvertible", unconvertible(), (64, 64), "fp32")), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
