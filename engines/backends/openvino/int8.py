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


def quantise(graph: Path, inputs: Sequence[NDArray[np.float32]], target: Path) -> None:
    """Write ``graph``, an OpenVINO model (.xml and .bin), to ``target`` with int8 weights and activations.

    All of it is quantised: leaving the first and last convolutions in float costs time and gains nothing to the truth
    (benchmarks/NOTES.md).

    Args:
        graph: the model's .xml.
        inputs: what the model is given for real frames; the ranges of its activations are taken from them.
        target: the .xml to write.

    Raises:
        EngineError: NNCF failed; the message holds the last line that it wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, _INPUTS), *inputs)
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

    with np.load(inputs) as file:
        samples = [file[name] for name in file.files]
    model = ov.Core().read_model(graph)
    # OpenVINO runs a transposed convolution in int8 only where its input has no zero point. Elsewhere zero points
    # make the result more exact and cost nothing.
    transposed = any(node.get_type_name() == "ConvolutionBackpropData" for node in model.get_ops())
    preset = nncf.QuantizationPreset.PERFORMANCE if transposed else nncf.QuantizationPreset.MIXED
    quantised = nncf.quantize(model, nncf.Dataset(samples), preset=preset, subset_size=len(samples))
    ov.save_model(quantised, target, compress_to_fp16=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])
