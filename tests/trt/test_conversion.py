"""Every shipped graph becomes one TensorRT engine, with no operator left in torch: TensorRT-RTX's builder says so.

It runs without a GPU, in an environment that ``make test`` makes (.venv-rtx), and proves that graphs convert and in
which types TensorRT computes, not how fast or how well they run.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from nightday.engines.model.blocks import ResizeConv2d
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.lift import translation_size
from tests.trt.convert import CASES, GRAPHS, LARGE, MAX_BATCH, PRECISIONS, model_of

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-rtx" / "bin" / "python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        platform.machine() != "x86_64", reason="TensorRT-RTX's wheels for Linux are for x86_64 alone"
    ),
]


class Converter:
    """The process that converts; its lines come in their order, and are waited for only as far as they are needed."""

    def __init__(self, seed: int, errors: Path) -> None:
        if not PYTHON.is_file():
            pytest.fail(f"{PYTHON} is missing: make test-tensorrt makes it")
        self._errors = errors
        self._lines: dict[tuple[str, str], dict[str, Any]] = {}
        command = [str(PYTHON), "-m", "tests.trt.convert", str(seed)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors.open("w"), text=True
        )

    def line(self, graph: str, precision: str) -> dict[str, Any]:
        """What became of a graph."""
        assert self.process.stdout is not None
        while (graph, precision) not in self._lines:
            text = self.process.stdout.readline()
            if not text:
                pytest.fail(f"the converter ended: {self._errors.read_text()[-2000:]}")
            line = json.loads(text)
            self._lines[line["graph"], line["precision"]] = line
        return self._lines[graph, precision]


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    converter = Converter(seed, tmp_path_factory.mktemp("tensorrt") / "errors")
    yield converter
    converter.process.kill()
    converter.process.communicate()


@pytest.mark.parametrize(("graph", "precision"), CASES)
def test_the_whole_graph_becomes_one_engine(converter: Converter, graph: str, precision: str) -> None:
    line = converter.line(graph, precision)
    assert "error" not in line, line["error"]
    print(f"{line['bytes']} bytes in {line['cpu_seconds']} s of CPU, size {line['size']}")
    settings = GRAPHS[graph]
    size = tuple(line["size"])
    inner = translation_size(model_of(graph), *size)
    assert (inner < size) == (graph in LARGE)
    takes, gives = ([size, inner, inner], [size, inner]) if settings.backgrounds else ([size], [size])
    assert line["inputs"] == [["FLOAT", [-1, *one, 3]] for one in takes]  # -1: the batch is open
    assert line["outputs"] == [["FLOAT", [-1, *one, 3]] for one in gives]
    counts = (1, MAX_BATCH, MAX_BATCH)  # least, best, most
    assert line["profiles"] == [[[[count, *one, 3] for count in counts] for one in takes]]
    assert line["strongly_typed"]
    assert not line["tf32"]  # ten bits: the invariant's ratios would not survive them

    # Counted on the model itself: what of it may be half, and what must not be.
    generator = NightToDay(GRAPHS[graph]).generator
    layers = sum(isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) for module in generator.modules())
    invariant = 0 if GRAPHS[graph].input == "rgb" else 6  # one for the colours, two along x, three along y
    type_ = "FLOAT" if precision == "fp32" else "HALF"  # the last layer is never half
    assert line["convolutions"] == ["FLOAT"] * invariant + [type_] * (layers - 1) + ["FLOAT"]
    # int8 is what lies behind Q layers, of input and weights each; what the builder made of them its engine says.
    transposed = sum(isinstance(m, (nn.ConvTranspose2d, ResizeConv2d)) for m in generator.modules())
    in_int8 = layers - transposed if precision == "int8" else 0
    assert line["quantised"] == ["INT8"] * 2 * in_int8
    ran = {
        "fp32": {("float", "float"): invariant + layers - transposed},
        "fp16": {("float", "float"): invariant + 1, ("half", "half"): layers - transposed - 1},
        "int8": {("float", "float"): invariant, ("int8", "int8"): layers - transposed},
    }[precision]
    assert Counter(map(tuple, line["computed_in"])) == Counter(ran)
    statistics = sum(isinstance(module, nn.InstanceNorm2d) for module in generator.modules())
    assert line["norms"] == ["FLOAT"] * (statistics + (invariant > 0))
    # Half the weights take half the room, where weights are most of an engine.
    if graph == "paper" and precision != "fp32":
        before = PRECISIONS[PRECISIONS.index(precision) - 1]
        assert line["bytes"] < 0.7 * converter.line(graph, before)["bytes"]


def test_an_operator_that_would_stay_in_torch_is_refused(converter: Converter) -> None:
    error = converter.line("unconvertible", "fp32").get("error", "it converted")
    assert error.startswith("EngineError: backend tensorrt: the model does not convert for 64x64 fp32: ")
    assert "torch_only" in error
    assert "\n" not in error
