"""TensorRT on NVIDIA GPUs, and TensorRT-RTX with the same code: one engine for each picture size."""

from __future__ import annotations

import functools
import importlib
import logging
import tempfile
import threading
from collections.abc import Sequence
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import device_copies
from ...cache.engine_cache import EngineCache, EngineKey, graph_digest
from ...cache.machine import gpu
from ...choices import Precision
from ...errors import EngineError
from ...model import qualification_frames
from ...model.checkpoint import model_digest
from ...model.generator import NightToDay
from ..base import Engine, EngineInfo, EngineSpec, Frames, check_calibration, check_frames
from . import export, int8
from .export import Whole, export_program
from .plan import Plan, PlanError

KEPT_SIZES = 8  # engines kept on the GPU; each holds its own weights and buffers

FILE = "engine.plan"  # in its folder of the cache

PRECISIONS: tuple[Precision, ...] = ("int8", "fp16", "fp32")
"""What it computes in, the likely fastest first; ``auto`` of an engine is fp16."""

RTX_INT8 = (1, 7)  # the first TensorRT-RTX that takes int8 convolutions

_PACKAGES = {"torch-tensorrt": "tensorrt", "torch-tensorrt-rtx": "tensorrt_rtx"}


def installed() -> tuple[str, str]:
    """The package that converts, and its version: ("torch-tensorrt", "2.13.0").

    Raises:
        EngineError: it is missing, there is no GPU, or it was made for another torch.
    """
    if not torch.cuda.is_available():
        raise EngineError("backend tensorrt: there is no NVIDIA GPU here; use openvino or eager")
    torch_minor = ".".join(torch.__version__.split(".")[:2])
    for package in reversed(_PACKAGES):  # whoever installed both wanted the special one
        try:
            found = metadata.version(package)
        except PackageNotFoundError:
            continue
        if found.split(".")[:2] != torch_minor.split("."):
            raise EngineError(
                f"backend tensorrt: {package} {found} was made for another torch than {torch.__version__}; "
                f"pip install '{package}=={torch_minor}.*'"
            )
        return package, found
    raise EngineError(
        f"backend tensorrt: torch-tensorrt is not installed; pip install 'torch-tensorrt=={torch_minor}.*'"
    )


def precisions() -> tuple[Precision, ...]:
    """int8 where the TensorRT takes it, fp16 and fp32. Raises EngineError where it cannot run."""
    package, _ = installed()
    return tuple(one for one in PRECISIONS if one != "int8" or not _too_old(_PACKAGES[package]))


def _too_old(module: str) -> str:
    """Why the TensorRT of this module has no int8; empty where it has."""
    if module != "tensorrt_rtx":
        return ""
    try:
        found = importlib.import_module(module).__version__
    except ImportError:
        return ""  # who makes an engine is told
    if tuple(map(int, found.split(".")[:2])) >= RTX_INT8:
        return ""
    wanted = ".".join(map(str, RTX_INT8))
    parts = " ".join(f"'tensorrt-rtx-cu13{part}=={wanted}.*'" for part in ("", "-bindings", "-libs"))
    return (
        f"precision int8: TensorRT-RTX {found} takes no int8 convolutions, {wanted} does; "
        f"pip install --no-deps {parts}, or use fp16"
    )


def make(order: EngineSpec) -> Engine:
    """The engine that ``order`` asks for."""
    return TensorRtEngine(
        order.model,
        name=order.name,
        precision=order.precision,
        max_batch=order.max_batch,
        cache=order.cache,
        calibration=order.calibration,
    )


def device() -> torch.device:
    """The GPU that PyTorch takes."""
    return torch.device("cuda", torch.cuda.current_device())


def version() -> str:
    """Of the package that converts. Raises EngineError where it cannot run."""
    return " ".join(installed())


def build(
    model: NightToDay, *, size: tuple[int, int], max_batch: int, precision: str, ranges: Sequence[float] = ()
) -> bytes:
    """Convert the whole model to one serialised engine for pictures of a size.

    One optimisation profile, 1 to ``max_batch`` frames, tuned for the largest: full batches are what load makes.
    TF32 is off, as the invariant's ratios do not survive its ten bits.

    Args:
        model: on the device that the engine is for.
        size: (H, W) of the pictures.
        max_batch: most frames at once.
        precision: ``int8``, ``fp16`` or ``fp32``. In int8 are the generator's convolutions; all else is as in fp16.
        ranges: of the model, see ``int8``; for int8 alone.

    Raises:
        EngineError: an operator has no converter, or the builder failed.
    """
    logging.getLogger("torch_tensorrt").setLevel(logging.CRITICAL)  # else a page of graph for each error
    import torch_tensorrt

    height, width = size
    whole = Whole(model, size, half=precision != "fp32")
    if precision == "int8":
        int8.teach_torch_tensorrt()
        int8.quantise(whole, ranges)
    program = export_program(whole, max_batch)
    frames = torch_tensorrt.Input(
        min_shape=(1, height, width, 3), opt_shape=(max_batch, height, width, 3),
        max_shape=(max_batch, height, width, 3), dtype=torch.float32,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        try:
            plan = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                program, arg_inputs=[frames], min_block_size=1, disable_tf32=True,
                use_explicit_typing=True,  # before 2.13; there is nothing else since
                timing_cache_path=str(Path(scratch) / "timing"),  # by default one file in /tmp for all users
            )  # fmt: skip
        except Exception as error:
            # The builder raises anything, with the whole graph in the text; the first cause names the operator.
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = " ".join(str(cause).split())[:200]
            way_out = "fp16" if precision == "int8" else "eager"
            raise EngineError(
                f"backend tensorrt: the model does not convert for {width}x{height} {precision}: {reason}; "
                f"use {way_out}"
            ) from error
    return bytes(plan)


class TensorRtEngine:
    """The model compiled by TensorRT, everything but the change between bytes and floats in one engine.

    Each picture size is compiled once (a minute or more), by ``prepare`` or at its first frame, and kept in the
    cache. Batches of any size run; more than ``max_batch`` frames in turns. int8 takes its ranges from
    ``calibration``, night frames of the camera.
    """

    def __init__(
        self,
        model: NightToDay,
        *,
        name: str,
        precision: str,
        max_batch: int = 8,
        cache: EngineCache | None = None,
        calibration: Sequence[NDArray[np.uint8]] = (),
    ) -> None:
        if precision not in ("auto", *PRECISIONS):
            raise EngineError(f"precision {precision}: tensorrt runs {', '.join(PRECISIONS)}")
        package, found = installed()
        if precision == "int8":
            if old := _too_old(_PACKAGES[package]):
                raise EngineError(old)
            check_calibration(calibration)
        self._trt = importlib.import_module(_PACKAGES[package])
        self._version = f"{package} {found}, {_PACKAGES[package]} {self._trt.__version__}"
        self._precision = "fp16" if precision == "auto" else precision
        self.device = self._device = device()
        self._model = model.to(self._device)
        self._max_batch = max_batch
        self._cache = cache
        self._calibration = calibration
        self._plans: dict[tuple[int, int], Plan] = {}
        self._lock = threading.Lock()  # over _plans; never held while anything is compiled or run
        self._compiling = threading.Lock()
        self.info = EngineInfo("tensorrt", self._precision, name)

    def __call__(self, frames: Frames) -> Frames:
        """See ``Engine``."""
        check_frames(frames)
        return device_copies.to_host(
            self.on_device(device_copies.to_device(frames, self._device, "engine")), "engine"
        )

    def on_device(self, frames: Tensor) -> Tensor:
        """``__call__`` of a uint8 tensor (N, H, W, 3) where it lies: on the GPU without a copy to the host."""
        plan = self._of(int(frames.shape[1]), int(frames.shape[2]))
        parts = [plan(part) for part in frames.split(self._max_batch)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``."""
        with self._lock:
            return (height, width) in self._plans

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``."""
        self._of(height, width)

    def _of(self, height: int, width: int) -> Plan:
        size = (height, width)
        if (plan := self._known(size)) is None:
            with self._compiling:
                if (plan := self._known(size)) is None:
                    plan = self._load(size)
                    plan.warm_up()
                    with self._lock:
                        while len(self._plans) >= KEPT_SIZES:
                            del self._plans[next(iter(self._plans))]
                        self._plans[size] = plan
        return plan

    def _known(self, size: tuple[int, int]) -> Plan | None:
        with self._lock:
            plan = self._plans.pop(size, None)
            if (
                plan is not None
            ):  # last used goes last, so that the size dropped is the one unused for longest
                self._plans[size] = plan
            return plan

    def _load(self, size: tuple[int, int]) -> Plan:
        """The plan of a size, from the cache where it is there."""

        def make() -> bytes:
            return build(
                self._model,
                size=size,
                max_batch=self._max_batch,
                precision=self._precision,
                ranges=self._ranges if self._precision == "int8" else (),
            )

        if self._cache is None:
            data, where = make(), None
        else:

            def write(folder: Path) -> None:
                (folder / FILE).write_bytes(make())

            where = self._cache.fetch(self._key(size), write, label=self.info.model)
            data = (where / FILE).read_bytes()
        try:
            return Plan(self._trt, data, size=size, max_batch=self._max_batch, device=self._device)
        except PlanError as error:
            way_out = f"delete {where}" if where else "use eager"
            raise EngineError(f"backend tensorrt: {error}; {way_out}") from None

    @functools.cached_property
    def _ranges(self) -> list[float]:
        """What int8 reaches to in each convolution; of one size as of another."""
        return int8.ranges(self._model, self._calibration)

    def _key(self, size: tuple[int, int]) -> EngineKey:
        device, driver = gpu()
        flags = [("side", str(self._model.side))]  # at which large pictures are translated
        sources = [__file__, export.__file__]
        if self._precision == "int8":
            flags.append(("calibration", qualification_frames.digest(self._calibration)))
            sources.append(int8.__file__)
        return EngineKey(
            checkpoint=model_digest(self._model),
            graph=graph_digest(self._model, *sources),
            shape=(self._max_batch, *size),
            backend="tensorrt",
            version=self._version,
            precision=self._precision,
            device=device,
            driver=driver,
            flags=tuple(flags),
        )
