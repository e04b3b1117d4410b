"""Post-training quantisation to int8 by NNCF, in a process of its own.

Of its own, because NNCF draws progress bars on standard output, holds the interpreter's lock for seconds while
cameras may be running, and stays in memory with all it imports.
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
from ...errors import EngineError
from ...install import INSTALL_INT8

_INPUTS = "inputs.npz"


def available() -> bool:
    """Whether NNCF is installed."""
    return importlib.util.find_spec("nncf") is not None


def version() -> str:
    """NNCF's. Raises EngineError, with the way out, where it is not installed."""
    if not available():
        raise EngineError(f"precision int8: needs NNCF to quantise: {INSTALL_INT8}, or use auto")
    return importlib.metadata.version("nncf")


def quantise(graph: Path, inputs: Sequence[NDArray[np.float32]], target: Path) -> None:
    """Write ``graph``, an OpenVINO model (.xml and .bin), to ``target`` with int8 weights and activations.

    All of it is quantised: on the shipped model the first and last convolutions in float gain 0.5 dB each on 43 dB to
    eager fp32 and nothing to the truth, and cost 10 % and 4 % of the time.

    Args:
        graph: the model's .xml.
        inputs: what the model is given for real frames; the ranges of its activations are taken from them.
        target: the .xml to write.

    Raises:
        EngineError: NNCF failed, in its last line's words.
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
        raise EngineError(f"precision int8: quantising failed ({last[:200]}); use bf16 or fp32")


def _main(graph: str, inputs: str, target: str) -> None:
    os.nice(5)  # a running camera comes first
    import nncf
    import openvino as ov

    with np.load(inputs) as file:
        samples = [file[name] for name in file.files]
    model = ov.Core().read_model(graph)
    # OpenVINO runs a transposed convolution in int8 only where its input has no zero point (0.5 of 11.5 ms of the
    # compact ResNet's). Elsewhere zero points gain 0.9 dB and cost nothing.
    transposed = any(node.get_type_name() == "ConvolutionBackpropData" for node in model.get_ops())
    preset = nncf.QuantizationPreset.PERFORMANCE if transposed else nncf.QuantizationPreset.MIXED
    quantised = nncf.quantize(model, nncf.Dataset(samples), preset=preset, subset_size=len(samples))
    ov.save_model(quantised, target, compress_to_fp16=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])
