"""Writes what OpenVINO compiles a model's graphs to, for one picture size, into a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray

from ... import cores as machine_cores
from ...model.generator import NightToDay
from ...model.qualification_frames import RgbPair
from . import int8
from .beside import BACKGROUNDS
from .graph import Graph
from .graphs import graphs_for

# One for the process, never let go. Its CPU plugin gives the thread that first uses it another stack for signals, and
# frees that memory together with the Core: when the first of two Cores went, the main thread was left with a stack
# that was gone, and the next SIGTERM or SIGHUP, which Python handles on it, ended the program with SIGSEGV.
CORE = ov.Core()

# What the generator computes in, by the engine's precision. In int8 it is what lies between two quantised layers.
GENERATOR_TYPES = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}

# How many cores a compiled graph runs on. The values are part of file names in users' caches.
Cores = Literal["whole", "lane"]
ALL_CORES: Cores = "whole"
ONE_CORE: Cores = "lane"

# The quantised generator for any picture size, in its folder.
ANY_SIZE = "any_size.xml"

# Sides of what it is traced on, in pixels of its input: a multiple of all strides.
CORNER = 32


def computes_in(type_: str) -> bool:
    """Whether this CPU has instructions for a type of OpenVINO's, e.g. BF16."""
    return type_ in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compiled_file(folder: Path, graph: Graph, cores: Cores) -> Path:
    """Where a compiled graph lies in the folder of its size."""
    return folder / f"{graph.name}.{cores}.blob"


def options(graph: Graph, cores: Cores, precision: str) -> dict[str, str]:
    """OpenVINO's settings for compiling or loading a graph."""
    type_ = GENERATOR_TYPES[precision] if graph.draws else "f32"
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": type_}
    if cores == ONE_CORE:  # without pinning: several of them would all be pinned to the first core
        settings |= {"INFERENCE_NUM_THREADS": "1", "ENABLE_CPU_PINNING": "NO"}
    elif machine_cores.is_limited():
        # OpenVINO knows of no limit. Pinned, all containers of a machine would be on its first cores.
        settings |= {
            "INFERENCE_NUM_THREADS": str(machine_cores.processors()),
            "ENABLE_CPU_PINNING": "NO",
        }
    return settings


def build(
    graphs: Sequence[Graph],
    folder: Path,
    *,
    precision: str,
    cores: Sequence[Cores],
    quantised: Callable[[], ov.Model],
) -> None:
    """Compile the graphs of a picture size and write them to ``folder``.

    Args:
        graphs: of ``graphs_for``.
        folder: an empty one.
        precision: fp32, bf16 or int8.
        cores: what each graph is compiled for, once each.
        quantised: reads what ``quantise`` wrote; called for int8 alone.
    """
    generator = quantised() if precision == "int8" else None
    for graph in graphs:
        if graph.native:
            continue
        if graph.draws and generator is not None:
            model = generator.clone()
            shapes = [list(example.shape) for example in graph.examples]
            model.reshape(dict(zip(model.inputs, shapes, strict=True)))
        else:
            model = graph.converted()
        for each in cores_of(graph, cores):
            compiled = CORE.compile_model(model, "CPU", options(graph, each, precision))
            compiled_file(folder, graph, each).write_bytes(compiled.export_model().getvalue())


def load(graph: Graph, folder: Path, cores: Cores, precision: str) -> Any:
    """OpenVINO's inference request of a graph that ``build`` wrote to ``folder``."""
    data = compiled_file(folder, graph, cores).read_bytes()
    return CORE.import_model(data, "CPU", options(graph, cores, precision)).create_infer_request()


def cores_of(graph: Graph, cores: Sequence[Cores]) -> Sequence[Cores]:
    """What a graph is compiled for: one that is run for new backgrounds alone is for all cores alone."""
    return [each for each in cores if graph.name != "known" or each == ALL_CORES]


def quantise(
    model: NightToDay,
    calibration: Sequence[NDArray[np.uint8]],
    backgrounds: Sequence[RgbPair],
    folder: Path,
    known: Mapping[tuple[int, int], Sequence[Graph]] = MappingProxyType({}),
) -> None:
    """Quantise the generator to int8 and write it to ``folder``, for pictures of any size.

    Neither weights nor ranges depend on the size. ``backgrounds`` are those of each frame of ``calibration`` where
    the model takes them. ``known`` are the graphs for some sizes (height, width), which are then not made again.
    """
    inputs = []
    sizes = dict(known)
    for i, frame in enumerate(calibration):
        size = (int(frame.shape[0]), int(frame.shape[1]))
        if size not in sizes:
            sizes[size] = graphs_for(model, *size)
        pictures = [frame, *backgrounds[i]] if backgrounds else [frame]
        names = ("frames", *BACKGROUNDS)[: len(pictures)]
        given = {
            name: torch.from_numpy(np.array(picture))[None]
            for name, picture in zip(names, pictures, strict=True)
        }
        for graph in sizes[size]:
            if graph.name == "rest":
                break
            with torch.inference_mode():
                made = graph.module(*(given[name] for name in graph.takes))
            given |= zip(graph.gives, made if isinstance(made, tuple) else (made,), strict=True)
        inputs.append([given[name].numpy() for name in graph.takes])
    # Traced on a corner, which takes half of the time: its graph is that of any size.
    corner = replace(graph, examples=tuple(one[..., :CORNER, :CORNER] for one in graph.examples))
    quantised = corner.converted([[1, one.shape[1], -1, -1] for one in inputs[0]])
    int8.quantise(CORE, quantised, inputs, most=int8.most_weight())
    ov.save_model(quantised, folder / ANY_SIZE, compress_to_fp16=False)
