"""OpenVINO on CPUs: the model compiled for one frame of each picture size, in fp32, bf16 or int8."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray

from ... import cores
from ...cache import machine
from ...cache.code_digest import graph_digest
from ...cache.engine_cache import EngineCache, EngineKey
from ...choices import Precision
from ...device_copies import PixelsT
from ...errors import EngineError
from ...model import lift, qualification_frames
from ...model.checkpoint import model_digest
from ...model.generator import NightToDay
from ...model.qualification_frames import RgbPair
from ...native import library, light
from ..backgrounds import Derived, Pair
from ..base import CheckedEngine, Engine, EngineInfo, EngineSpec, Frames, Translation, check_calibration
from ..compiled_sizes import CompiledSizes, Size
from . import beside, build, fast_parts, graph, graphs, int8, light_graphs, light_requests, regions, sizes
from . import requests as requests_module
from .build import ALL_CORES, ANY_SIZE, CORE, GENERATOR_TYPES, ONE_CORE, computes_in
from .graph import Graph
from .graphs import graphs_for
from .requests import Known, Runs
from .sizes import SizeRequests, load_size

# With more cores than these, a batch rarely has a frame for each of them, and frames go through one after the other.
MOST_AT_ONCE = 8

# Sizes that are kept. Cameras rarely have more, and each holds its own buffers.
KEPT_SIZES = 8

Run = tuple[Frames, Known, Frames, Frames | None]
"""A frame, what comes of its backgrounds, and where its day and its trust are written."""


def precisions() -> tuple[Precision, ...]:
    """What this CPU computes in, the likely fastest first."""
    has: tuple[tuple[Precision, str], ...] = (("int8", "INT8"), ("bf16", "BF16"))
    return (*(precision for precision, type_ in has if computes_in(type_)), "fp32")


def version() -> str:
    """OpenVINO's version."""
    return str(ov.__version__)


def sources() -> tuple[str, ...]:
    """See ``BackendModule``."""
    return (
        __file__,
        requests_module.__file__,
        sizes.__file__,
        light_requests.__file__,
        light.__file__,
        *library.SOURCES,
        *_compiled_from(),
    )


def make(spec: EngineSpec) -> Engine:
    """See ``BackendModule``."""
    return OpenVinoEngine(
        spec.model,
        name=spec.name,
        precision=spec.precision,
        cache=spec.cache,
        calibration=spec.calibration,
        calibration_backgrounds=spec.calibration_backgrounds,
        reuse=spec.reuse,
    )


def _compiled_from() -> tuple[str, ...]:
    """The files, beside the model's own, whose code decides what is compiled."""
    return (
        beside.__file__,
        build.__file__,
        fast_parts.__file__,
        graph.__file__,
        graphs.__file__,
        int8.__file__,
        lift.__file__,
        light_graphs.__file__,
        regions.__file__,
    )


class OpenVinoEngine(CheckedEngine):
    """The model compiled by OpenVINO for the CPU as two graphs, or as three where large frames are lifted.

    The front makes the generator's input and keeps a graph of its own in fp32, because OpenVINO lowers a whole graph
    to bf16 and the invariant's ratios do not survive that. It hands its output to the generator's graph without a
    copy. The lift is fp32 as well. Of a light model compiled code of ours is the front, and puts the picture
    together.

    What comes of a camera's backgrounds alone has another graph before these, which is run once for each pair.

    Graphs take one frame. A call that comes while another is under way runs beside it on one core each, so that
    neither waits for the other; a lone call has all cores. The frames of a batch run side by side too, as many as
    there are cores; those left over go through one after the other, on all cores each.

    Args:
        model: on the CPU, in evaluation mode.
        name: the checkpoint's file name.
        precision: fp32, bf16 or int8.
        cache: where what is compiled is kept; None to keep nothing.
        calibration: night frames, uint8 RGB (H, W, 3) each, that int8 takes the ranges of activations from. They may
            differ in size from what is translated.
        calibration_backgrounds: the backgrounds of each of these, where the model takes them.
        reuse: leave the generator out where a picture does not differ from its camera's backgrounds; see
            ``LightRequests``.

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
        calibration_backgrounds: Sequence[RgbPair] = (),
        reuse: bool = True,
    ) -> None:
        if precision not in GENERATOR_TYPES:
            raise EngineError(
                f"precision {precision}: openvino runs {', '.join(GENERATOR_TYPES)} on a CPU",
                setting="precision",
            )
        for type_, spoken in (("bf16", "bfloat16"), ("int8", "int8")):
            if precision == type_ and not computes_in(type_.upper()):
                raise EngineError(
                    f"precision {precision}: this CPU does not compute in {spoken}; use fp32 or auto",
                    setting="precision",
                )
        count = cores.processors()
        self.at_once = count if count <= MOST_AT_ONCE else 1
        self.device: torch.device | None = None
        self.info = EngineInfo("openvino", precision, name, model_digest(model))
        self._model = model.eval()
        self._reuse = reuse and graphs.reuses(model)
        self._cache = cache
        self._calibration = calibration
        self._calibration_backgrounds = calibration_backgrounds
        self.needs_backgrounds = model.settings.backgrounds
        self._known: Derived[Known] = Derived()
        self._key = self._any_size_key()
        self._pool = ThreadPoolExecutor(self.at_once, "openvino")
        self._sizes = CompiledSizes(self._load, keep=KEPT_SIZES)
        self._calls = 0  # under way
        self._calls_lock = threading.Lock()

    def _any_size_key(self) -> EngineKey:
        flags = [
            ("side", str(self._model.side)),
            ("torch", str(torch.__version__)),
            ("lanes", str(self.at_once > 1)),
            ("native", str(light.runs(self._model))),
            ("squares", str(self._reuse)),
        ]
        if self.info.precision == "int8":
            flags.append(("weights", str(int8.most_weight())))
            check_calibration(self._calibration)
            pictures = [*self._calibration, *(one for pair in self._calibration_backgrounds for one in pair)]
            flags.append(("calibration", qualification_frames.digest(pictures)))
        return EngineKey(
            checkpoint=model_digest(self._model),
            graph=graph_digest(self._model, *_compiled_from()),
            shape=(1, 0, 0),
            backend="openvino",
            version=ov.__version__,
            precision=self.info.precision,
            device=machine.cpu(),
            driver="",
            flags=tuple(flags),
        )

    def _translated(self, frames: PixelsT, pairs: list[Pair] | None) -> Translation[PixelsT]:
        assert isinstance(frames, np.ndarray)
        requests: SizeRequests = self._sizes.get((frames.shape[1], frames.shape[2]))
        known: list[Known] = [{}] * len(frames)
        if pairs is not None:
            known = [self._known_of(requests, pair) for pair in pairs]
        frames = np.require(
            frames, requirements=["C", "W"]
        )  # OpenVINO shares no memory that it may not write to
        days = np.empty_like(frames)
        trust = None if pairs is None else np.empty((len(frames), *requests.size, 3), np.uint8)
        runs = [
            (frames[i : i + 1], known[i], days[i : i + 1], None if trust is None else trust[i : i + 1])
            for i in range(len(frames))
        ]
        with self._calls_lock:
            alone = self._calls == 0
            self._calls += 1
        try:
            if len(frames) == 1 and not alone and requests.one_core is not None:
                ran = [requests.run_on_one_core(*runs[0])]
            else:
                ran = self._run_batch(requests, runs)
        finally:
            with self._calls_lock:
                self._calls -= 1
        return Translation(days, trust, tuple(ran) if self._reuse else None)

    def _known_of(self, requests: SizeRequests, pair: Pair) -> Known:
        by_day, by_night = pair
        assert isinstance(by_day, np.ndarray)
        assert isinstance(by_night, np.ndarray)
        return self._known.get(pair, lambda: requests.known(by_day, by_night))

    def _run_batch(self, requests: SizeRequests, runs: Sequence[Run]) -> list[float]:
        """As many frames as there are cores side by side, those left over one after the other on all cores."""
        ran: list[float] = []
        while requests.one_core is not None and len(runs) - len(ran) >= self.at_once:
            begun = [
                self._pool.submit(requests.run_on_one_core, *run)
                for run in runs[len(ran) : len(ran) + self.at_once]
            ]
            ran += [one.result() for one in begun]
        return ran + [requests.run_on_all_cores(*run) for run in runs[len(ran) :]]

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``."""
        return (height, width) in self._sizes

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``."""
        self._sizes.get((height, width))

    def requests(self, height: int, width: int) -> Runs:
        """The graphs for one frame of this size on all cores, compiled if there are none."""
        return self._sizes.get((height, width)).all_cores

    def _load(self, size: Size) -> SizeRequests:
        size_graphs = graphs_for(self._model, *size, squares=self._reuse)
        precision = self.info.precision
        cores = (ALL_CORES, ONE_CORE) if self.at_once > 1 else (ALL_CORES,)

        def write(folder: Path) -> None:
            build.build(
                size_graphs,
                folder,
                precision=precision,
                cores=cores,
                quantised=lambda: self._quantised({size: size_graphs}),
            )

        with self._fetched(size, write) as folder:
            return load_size(
                self._model,
                size_graphs,
                size,
                lift.translation_size(self._model, *size),
                folder,
                precision=precision,
                at_once=self.at_once,
                reuse=self._reuse,
            )

    def _quantised(self, known: Mapping[Size, Sequence[Graph]]) -> ov.Model:
        """The int8 generator for any size. ``known`` are the graphs for a size."""

        def write(folder: Path) -> None:
            build.quantise(self._model, self._calibration, self._calibration_backgrounds, folder, known)

        with self._fetched((0, 0), write) as folder:
            return CORE.read_model(folder / ANY_SIZE)

    @contextmanager
    def _fetched(self, size: Size, write: Callable[[Path], None]) -> Iterator[Path]:
        """The folder with what ``write`` writes for a size, (0, 0) for any; from the cache if there is one."""
        if self._cache is not None:
            yield self._cache.fetch(replace(self._key, shape=(1, *size)), write, label=self.info.model)
            return
        with tempfile.TemporaryDirectory(prefix="nightday-") as folder:
            write(Path(folder))
            yield Path(folder)
