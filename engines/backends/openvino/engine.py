"""OpenVINO on CPUs: the model compiled for one frame of each picture size, in fp32, bf16 or int8."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray

from ...cache import machine
from ...cache.engine_cache import EngineCache, EngineKey, graph_digest
from ...choices import Precision
from ...errors import EngineError
from ...model import lift, qualification_frames
from ...model.checkpoint import model_digest
from ...model.generator import NightToDay
from ..base import Engine, EngineInfo, EngineSpec, Frames, check_calibration, check_frames
from . import graphs, int8
from .graphs import Graph, graphs_for

# Cores up to which a batch of as many frames goes through them side by side, a frame a core. With more, batches are
# rarely that large.
LANES_MOST = 8

KEPT_SIZES = 8  # compiled graphs kept; cameras rarely have more sizes, and each holds its own buffers

# One for the process, never let go. Its CPU plugin gives the thread that first uses it another stack for signals, and
# takes the memory back with the Core: of two Cores the first to go left the main thread a stack that was no more, and
# the next SIGTERM or SIGHUP, which Python handles on it, ended the program with SIGSEGV.
_CORE = ov.Core()

# What the rest computes in; of int8 that is what lies between two quantised layers.
_TYPES = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
_ANY_SIZE = "any_size.xml"
WHOLE, LANE = "whole", "lane"  # what graphs are compiled for; see Compiled

Size = tuple[int, int]


def precisions() -> tuple[Precision, ...]:
    """What this CPU computes in, the likely fastest first; int8 only where NNCF is there to quantise."""
    found: list[Precision] = ["int8"] if _computes_in("INT8") and int8.available() else []
    return (*found, *(("bf16",) if _computes_in("BF16") else ()), "fp32")


def version() -> str:
    """OpenVINO's, and NNCF's where it is installed."""
    return ov.__version__ + (f", nncf {int8.version()}" if int8.available() else "")


def make(order: EngineSpec) -> Engine:
    """The engine that ``order`` asks for."""
    return OpenVinoEngine(
        order.model,
        name=order.name,
        precision=order.precision,
        cache=order.cache,
        calibration=order.calibration,
    )


def _computes_in(type_: str) -> bool:
    return type_ in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@dataclass(frozen=True, slots=True)
class Requests:
    """The graphs of a size, wired up: each reads what those before it wrote where it lies.

    Attributes:
        requests: OpenVINO's, in their order.
        of_frames: those that take the frame itself, with the number of that input.
    """

    requests: tuple[Any, ...]
    of_frames: tuple[tuple[Any, int], ...]

    def run(self, frame: NDArray[np.uint8], day: NDArray[np.uint8]) -> None:
        """Translate contiguous uint8 (1, H, W, 3) into ``day``, the same shape."""
        tensor = ov.Tensor(frame, shared_memory=True)
        for request, i in self.of_frames:
            request.set_input_tensor(i, tensor)
        for request in self.requests:
            request.infer()
        day[:] = self.requests[-1].get_output_tensor(0).data[:, : day.shape[1], : day.shape[2]]


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a size has been compiled to; any number of threads may use it.

    Attributes:
        whole: runs a frame on all cores.
        turn: held while it does.
        lanes: run a frame each, on a core each, at the same time; those that are free. None where there is one
            core or many.
    """

    whole: Requests
    turn: threading.Lock
    lanes: SimpleQueue[Requests] | None

    def run_whole(self, frame: Frames, day: Frames) -> None:
        """``Requests.run`` on all cores."""
        with self.turn:
            self.whole.run(frame, day)

    def run_lane(self, frame: Frames, day: Frames) -> None:
        """``Requests.run`` on one core, once a lane is free."""
        assert self.lanes is not None
        lane = self.lanes.get()
        try:
            lane.run(frame, day)
        finally:
            self.lanes.put(lane)


class OpenVinoEngine:
    """The model compiled by OpenVINO for the CPU as two graphs, three where it is lifted too.

    OpenVINO lowers a whole graph to bf16, the invariant's ratios with it: on real nights C and N were then off
    by 84 % and 89 % at the 99th percentile. So the front keeps a graph of its own in fp32, which hands its
    output tensor to the generator's without a copy. The lift multiplies the full picture by what it finds at the
    small size, and stays fp32 as well.

    Graphs take one frame. With the batch left open the shipped model took a third longer: 4.1 ms in place of 3.0 for
    the front and 7.2 in place of 5.6 for the rest (352×288, bf16, one thread). A call that comes while another is
    under way goes through beside it, a core each, so that none waits for another; a lone one has all cores. So do the
    frames of a batch, as many as there are cores; those left over go through one after the other, on all cores each.
    Side by side 44 a second go through in place of 35 beside two busy processes, and 111 both ways where nothing else
    runs (compact, int8, 352×288, two cores).

    Args:
        model: on the CPU, in evaluation mode.
        name: the checkpoint's file name.
        precision: fp32, bf16 or int8.
        cache: where what is compiled is kept; None to keep nothing.
        calibration: night frames, uint8 RGB (H, W, 3) each, that int8 takes the ranges of activations from. They may
            differ in size from what is translated.

    Raises:
        EngineError: the precision cannot be had here.
    """

    def __init__(
        self,
        model: NightToDay,
        *,
        name: str,
        precision: Precision,
        cache: EngineCache | None = None,
        calibration: Sequence[NDArray[np.uint8]] = (),
    ) -> None:
        if precision not in _TYPES:
            raise EngineError(f"precision {precision}: openvino runs {', '.join(_TYPES)} on a CPU")
        if precision == "bf16" and not _computes_in("BF16"):
            raise EngineError("precision bf16: this CPU does not compute in bfloat16; use fp32 or auto")
        cores = machine.cores()
        self.at_once = cores if cores <= LANES_MOST else 1
        """Calls that are worked on at the same time, of a frame each; more wait, as do more frames in one call."""
        flags = [
            ("side", str(model.side)), ("torch", str(torch.__version__)), ("lanes", str(self.at_once > 1))
        ]  # fmt: skip
        if precision == "int8":
            flags.append(("nncf", int8.version()))
            check_calibration(calibration)
            flags.append(("calibration", qualification_frames.digest(calibration)))
        self._model = model.eval()
        self._cache = cache
        self._calibration = calibration
        self._key = EngineKey(
            checkpoint=model_digest(model),
            graph=graph_digest(model, __file__, graphs.__file__, lift.__file__, int8.__file__),
            shape=(1, 0, 0),
            backend="openvino",
            version=ov.__version__,
            precision=precision,
            device=machine.cpu(),
            driver="",
            flags=tuple(flags),
        )
        self._pool = ThreadPoolExecutor(self.at_once, "lane")
        self._compiled: dict[Size, Compiled] = {}
        self._calls = 0  # under way
        # Over _compiled and _calls; never held while anything is compiled or run.
        self._lock = threading.Lock()
        self._compiling = threading.Lock()  # the model is traced in one thread at a time
        self.info = EngineInfo("openvino", precision, name)

    def __call__(self, frames: Frames) -> Frames:
        """See ``Engine``."""
        check_frames(frames)
        compiled = self._at(frames.shape[1], frames.shape[2])
        frames = np.ascontiguousarray(frames)
        days = np.empty_like(frames)
        with self._lock:
            alone = not self._calls
            self._calls += 1
        try:
            if len(frames) == 1 and not alone and compiled.lanes is not None:
                compiled.run_lane(frames, days)
            else:
                self._run_batch(compiled, frames, days)
        finally:
            with self._lock:
                self._calls -= 1
        return days

    def _run_batch(self, compiled: Compiled, frames: Frames, days: Frames) -> None:
        """As many as there are lanes side by side, those left over one after the other on all cores."""
        done = 0
        while compiled.lanes is not None and len(frames) - done >= self.at_once:
            places = range(done, done + self.at_once)
            runs = [self._pool.submit(compiled.run_lane, frames[i : i + 1], days[i : i + 1]) for i in places]
            for run in runs:
                run.result()
            done += self.at_once
        for i in range(done, len(frames)):
            compiled.run_whole(frames[i : i + 1], days[i : i + 1])

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``."""
        with self._lock:
            return (height, width) in self._compiled

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``."""
        self._at(height, width)

    def requests(self, height: int, width: int) -> Requests:
        """The graphs for one frame of this size on all cores, compiled if there are none."""
        return self._at(height, width).whole

    def _at(self, height: int, width: int) -> Compiled:
        size = (height, width)
        if (compiled := self._known(size)) is None:
            with self._compiling:
                compiled = self._known(size) or self._load(size)
                with self._lock:
                    while len(self._compiled) >= KEPT_SIZES:
                        del self._compiled[next(iter(self._compiled))]
                    self._compiled[size] = compiled
        return compiled

    def _known(self, size: Size) -> Compiled | None:
        with self._lock:
            compiled = self._compiled.pop(size, None)
            if compiled is not None:  # last used goes last: the size dropped is the one unused for longest
                self._compiled[size] = compiled
            return compiled

    def _load(self, size: Size) -> Compiled:
        graphs = graphs_for(self._model, *size)
        with self._fetched(size, lambda folder: self._build(graphs, folder)) as folder:
            whole = self._wired(graphs, size, folder, WHOLE)
            if self.at_once == 1:
                return Compiled(whole, threading.Lock(), None)
            lanes: SimpleQueue[Requests] = SimpleQueue()
            for _ in range(self.at_once):
                lanes.put(self._wired(graphs, size, folder, LANE))
            return Compiled(whole, threading.Lock(), lanes)

    def _wired(self, graphs: Sequence[Graph], size: Size, folder: Path, way: str) -> Requests:
        tensors: dict[str, ov.Tensor] = {}
        made, of_frames = [], []
        for graph in graphs:
            blob = (folder / f"{graph.name}.{way}.blob").read_bytes()
            request = _CORE.import_model(blob, "CPU", self._options(graph, way)).create_infer_request()
            for i, name in enumerate(graph.takes):
                if name == "frames":
                    of_frames.append((request, i))
                else:
                    request.set_input_tensor(i, tensors[name])
            tensors |= {name: request.get_output_tensor(i) for i, name in enumerate(graph.gives)}
            made.append(request)
        requests = Requests(tuple(made), tuple(of_frames))
        blank = np.zeros((1, *size, 3), np.uint8)
        requests.run(blank, blank.copy())  # the first run is slower than the others
        return requests

    @contextmanager
    def _fetched(self, size: Size, build: Callable[[Path], None]) -> Iterator[Path]:
        """The folder with what ``build`` writes for a size, (0, 0) for any; from the cache if there is one."""
        if self._cache is not None:
            yield self._cache.fetch(replace(self._key, shape=(1, *size)), build, label=self.info.model)
            return
        with tempfile.TemporaryDirectory(prefix="nightday-") as folder:
            build(Path(folder))
            yield Path(folder)

    def _build(self, graphs: Sequence[Graph], folder: Path) -> None:
        """Compile the graphs of a size and write them to ``folder``."""
        for graph in graphs:
            if graph.name == "rest" and self.info.precision == "int8":
                with self._fetched((0, 0), self._quantise) as any_size:
                    model = _CORE.read_model(any_size / _ANY_SIZE)
                model.reshape(list(graph.examples[0].shape))
            else:
                model = graph.converted()
            for way in (WHOLE, LANE) if self.at_once > 1 else (WHOLE,):
                compiled = _CORE.compile_model(model, "CPU", self._options(graph, way))
                (folder / f"{graph.name}.{way}.blob").write_bytes(compiled.export_model().getvalue())

    def _quantise(self, folder: Path) -> None:
        """Quantise the rest for any size: neither weights nor ranges depend on it, and it takes long."""
        inputs = []
        for frame in self._calibration:
            front, rest, *_ = graphs_for(self._model, *frame.shape[:2])
            with torch.inference_mode():
                given = front.module(torch.from_numpy(np.ascontiguousarray(frame))[None])
            inputs.append((given[0] if isinstance(given, tuple) else given).numpy())
        floating = folder / "floating.xml"
        ov.save_model(rest.converted([[1, inputs[0].shape[1], -1, -1]]), floating, compress_to_fp16=False)
        int8.quantise(floating, inputs, folder / _ANY_SIZE)
        for path in (floating, floating.with_suffix(".bin")):
            path.unlink()

    def _options(self, graph: Graph, way: str) -> dict[str, str]:
        type_ = _TYPES[self.info.precision] if graph.name == "rest" else "f32"
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": type_}
        if way == LANE:  # pinned, all lanes would be on the first core
            options |= {"INFERENCE_NUM_THREADS": "1", "ENABLE_CPU_PINNING": "NO"}
        return options
