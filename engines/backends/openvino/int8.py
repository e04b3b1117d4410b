"""Post-training quantisation to int8 by NNCF, in a process of its own.

NNCF draws progress bars on standard output, holds the interpreter's lock for seconds while cameras may be running,
and stays in memory with all that it imports.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import child_process
from ...distribution import INSTALL_INT8
from ...errors import EngineError

_INPUTS = "inputs.npz"


def available() -> bool:
    """Whether NNCF is installed."""
    return importlib.util.find_spec("nncf") is not None


def version() -> str:
    """NNCF's version. Raises EngineError, with the way out, where it is not installed."""
    if not available():
        raise EngineError(
            f"precision int8: needs NNCF to quantise: {INSTALL_INT8}, or use auto", setting="precision"
        )
    return importlib.metadata.version("nncf")


def quantise(graph: Path, inputs: Sequence[Sequence[NDArray[np.float32]]], target: Path) -> None:
    """Write ``graph``, an OpenVINO model (.xml and .bin), to ``target`` with int8 weights and activations.

    All convolutions are quantised: leaving the first and last in float costs time and gains nothing to the truth
    (benchmarks/NOTES.md). What puts a picture together from layers, and what was computed from backgrounds before,
    stays in float.

    Args:
        graph: the model's .xml.
        inputs: what the model is given for each of some real frames, in the order of its inputs; the ranges of its
            activations are taken from them.
        target: the .xml to write.

    Raises:
        EngineError: NNCF failed; the message holds the last line that it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        named = {f"{i}.{at}": one for i, given in enumerate(inputs) for at, one in enumerate(given)}
        np.savez(Path(folder, _INPUTS), allow_pickle=False, **named)
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(graph), str(Path(folder, _INPUTS)), str(target)],
            env=child_process.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        raise EngineError(
            f"precision int8: quantising failed ({last[:200]}); use bf16 or fp32", setting="precision"
        )


def _main(graph: str, inputs: str, target: str) -> None:
    os.nice(5)  # running cameras come first
    import nncf
    import openvino as ov

    model = ov.Core().read_model(graph)
    with np.load(inputs) as file:
        count = len(file.files) // len(model.inputs)
        samples = [[file[f"{i}.{at}"] for at in range(len(model.inputs))] for i in range(count)]
    one = len(model.inputs) == 1
    data = nncf.Dataset([given[0] for given in samples] if one else [tuple(given) for given in samples])
    ignored = None if one else nncf.IgnoredScope(names=_in_float(model), validate=False)
    # OpenVINO runs a transposed convolution in int8 only where its input has no zero point. Elsewhere zero points
    # make the result more exact and cost nothing.
    transposed = any(node.get_type_name() == "ConvolutionBackpropData" for node in model.get_ops())
    preset = nncf.QuantizationPreset.PERFORMANCE if transposed else nncf.QuantizationPreset.MIXED
    quantised = nncf.quantize(model, data, preset=preset, subset_size=count, ignored_scope=ignored)
    ov.save_model(quantised, target, compress_to_fp16=False)


def _in_float(model: Any) -> list[str]:
    """What leads to no convolution, and sums with an input, by name."""
    operations = model.get_ordered_ops()
    convolving = {"Convolution", "GroupConvolution", "ConvolutionBackpropData"}
    leads: set[str] = set()
    for operation in reversed(operations):
        taken = [put.get_node() for out in operation.outputs() for put in out.get_target_inputs()]
        if any(one.get_type_name() in convolving or one.get_friendly_name() in leads for one in taken):
            leads.add(operation.get_friendly_name())
    names = []
    for operation in operations:
        kind, name = operation.get_type_name(), operation.get_friendly_name()
        given = [value.get_node().get_type_name() for value in operation.input_values()]
        if kind in convolving or kind in ("Parameter", "Constant", "Result"):
            continue
        if name not in leads or (kind == "Add" and "Parameter" in given):
            names.append(name)
    return names


if __name__ == "__main__":
    _main(*sys.argv[1:])
