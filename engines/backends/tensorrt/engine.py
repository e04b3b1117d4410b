"""TensorRT on NVIDIA GPUs, and TensorRT-RTX with the same code: one engine for each picture size."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...cache.code_digest import graph_digest
from ...cache.engine_cache import EngineCache, EngineKey
from ...cache.machine import gpu
from ...choices import Precision
from ...device_copies import PixelsT
from ...errors import EngineError
from ...model import lift, qualification_frames
from ...model.checkpoint import model_digest
from ...model.generator import NightToDay
from ...model.qualification_frames import RgbPair
from ..backgrounds import Pair
from ..base import (
    CheckedEngine,
    Engine,
    EngineInfo,
    EngineSpec,
    Translation,
    call_on_device,
    check_calibration,
)
from ..compiled_sizes import CompiledSizes, Size
from ..device_backgrounds import DeviceBackgrounds
from . import convert, export, int8
from .convert import build
from .plan import Plan, PlanError

# Sizes kept on the GPU. Each holds its own weights and buffers.
KEPT_SIZES = 8

# The serialised engine, in its folder of the cache.
FILE = "engine.plan"

PRECISIONS: tuple[Precision, ...] = ("int8", "fp16", "fp32")
"""What it computes in, the likely fastest first; ``auto`` of an engine is fp16."""

# The first TensorRT-RTX that takes int8 convolutions.
RTX_INT8 = (1, 7)

# The packages that convert, and the module of TensorRT that each brings.
_PACKAGES = {"torch-tensorrt": "tensorrt", "torch-tensorrt-rtx": "tensorrt_rtx"}


def installed() -> tuple[str, str]:
    """The package that converts, and its version: ("torch-tensorrt", "2.13.0").

    Raises:
        EngineError: it is missing, there is no GPU, or it was made for another torch.
    """
    if not torch.cuda.is_available():
        raise EngineError(
            "backend tensorrt: there is no NVIDIA GPU here; use openvino or eager", setting="backend"
        )
    torch_minor = ".".join(torch.__version__.split(".")[:2])
    for package in reversed(_PACKAGES):  # whoever installed both wants TensorRT-RTX
        try:
            found = metadata.version(package)
        except PackageNotFoundError:
            continue
        if found.split(".")[:2] != torch_minor.split("."):
            raise EngineError(
                f"backend tensorrt: {package} {found} was made for another torch than {torch.__version__}; "
                f"pip install '{package}=={torch_minor}.*'",
                setting="backend",
            )
        return package, found
    raise EngineError(
        f"backend tensorrt: torch-tensorrt is not installed; pip install 'torch-tensorrt=={torch_minor}.*'",
        setting="backend",
    )


def precisions() -> tuple[Precision, ...]:
    """int8 where this TensorRT can do it, fp16 and fp32. Raises EngineError where it cannot run."""
    package, _ = installed()
    return tuple(one for one in PRECISIONS if one != "int8" or not _too_old(_PACKAGES[package]))


def _too_old(module: str) -> str:
    """Why the TensorRT in this module cannot do int8; empty where it can."""
    if module != "tensorrt_rtx":
        return ""
    try:
        found = importlib.import_module(module).__version__
    except ImportError:
        return ""  # making an engine says what is missing
    if tuple(map(int, found.split(".")[:2])) >= RTX_INT8:
        return ""
    wanted = ".".join(map(str, RTX_INT8))
    parts = " ".join(f"'tensorrt-rtx-cu13{part}=={wanted}.*'" for part in ("", "-bindings", "-libs"))
    return (
        f"precision int8: TensorRT-RTX {found} takes no int8 convolutions, {wanted} does; "
        f"pip install --no-deps {parts}, or use fp16"
    )


def version() -> str:
    """The name and version of the package that converts. Raises EngineError where it cannot run."""
    return " ".join(installed())


def sources() -> tuple[str, ...]:
    """See ``BackendModule``."""
    return __file__, str(Path(__file__).with_name("plan.py")), *_compiled_from("int8")


def make(spec: EngineSpec) -> Engine:
    """See ``BackendModule``."""
    return TensorRtEngine(
        spec.model,
        name=spec.name,
        precision=spec.precision,
        max_batch=spec.max_batch,
        cache=spec.cache,
        calibration=spec.calibration,
        calibration_backgrounds=spec.calibration_backgrounds,
    )


def device() -> torch.device:
    """The GPU that PyTorch takes."""
    return torch.device("cuda", torch.cuda.current_device())


def _compiled_from(precision: str) -> tuple[str, ...]:
    """The files, beside the model's own, whose code decides what is compiled."""
    files = (convert.__file__, export.__file__, lift.__file__)
    return (*files, int8.__file__) if precision == "int8" else files


class TensorRtEngine(CheckedEngine):
    """The model compiled by TensorRT: all but the conversion between bytes and floats is one TensorRT engine.

    Each picture size is compiled once (a minute or more), by ``prepare`` or at its first frame, and kept in the
    cache. A batch may have any size; one of more than ``max_batch`` frames is split.

    Args:
        model: in evaluation mode; the engine's own from now on.
        name: the checkpoint's file name.
        precision: ``int8``, ``fp16``, ``fp32`` or ``auto``, which is fp16.
        max_batch: most frames that run at once.
        cache: where what is compiled is kept; None to keep nothing.
        calibration: night frames of the camera, uint8 RGB (H, W, 3) each, that int8 takes its ranges from.
        calibration_backgrounds: the backgrounds of each of these, where the model takes them.

    Raises:
        EngineError: TensorRT or the precision cannot be had here.
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
        calibration_backgrounds: Sequence[RgbPair] = (),
    ) -> None:
        if precision not in ("auto", *PRECISIONS):
            raise EngineError(
                f"precision {precision}: tensorrt runs {', '.join(PRECISIONS)}", setting="precision"
            )
        package, found = installed()
        if precision == "int8":
            if old := _too_old(_PACKAGES[package]):
                raise EngineError(old, setting="precision")
            check_calibration(calibration)
        self._trt = importlib.import_module(_PACKAGES[package])
        self._version = f"{package} {found}, {_PACKAGES[package]} {self._trt.__version__}"
        self._precision = "fp16" if precision == "auto" else precision
        self._computes_on = device()
        self.device: torch.device | None = self._computes_on
        self.at_once: int | None = None
        self._model = model.to(self._computes_on)
        self._max_batch = max_batch
        self._cache = cache
        self._calibration = calibration
        self._calibration_backgrounds = calibration_backgrounds
        self.needs_backgrounds = model.settings.backgrounds
        self._backgrounds = DeviceBackgrounds(self._computes_on)
        self._plans = CompiledSizes(self._load, keep=KEPT_SIZES)
        self.info = EngineInfo("tensorrt", self._precision, name, model_digest(model))

    def _translated(self, frames: PixelsT, pairs: list[Pair] | None) -> Translation[PixelsT]:
        def translate(frames: Tensor) -> Translation[Tensor]:
            size = (int(frames.shape[1]), int(frames.shape[2]))
            run = self._plans.get(size)
            beside: tuple[Tensor, ...] = ()
            if pairs is not None:
                beside = self._backgrounds.batch(lift.module_for(self._model, *size), pairs)
            given, most = (frames, *beside), self._max_batch
            parts = [run(*(one[at : at + most] for one in given)) for at in range(0, len(frames), most)]
            return Translation(*(parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))))

        return call_on_device(translate, frames, computes_on=self._computes_on)

    def prepared(self, height: int, width: int) -> bool:
        """See ``Engine``."""
        return (height, width) in self._plans

    def prepare(self, height: int, width: int) -> None:
        """See ``Engine``."""
        self._plans.get((height, width))

    def _load(self, size: Size) -> Plan:
        """The plan of a size, ready to run; from the cache where it is there."""

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
        inner = lift.translation_size(self._model, *size)
        takes, gives = ([size, inner, inner], [size, inner]) if self.needs_backgrounds else ([size], [size])
        try:
            made = Plan(
                self._trt, data, takes=takes, gives=gives, max_batch=self._max_batch, device=self._computes_on
            )
        except PlanError as error:
            way_out = f"delete {where}" if where else "use eager"
            raise EngineError(f"backend tensorrt: {error}; {way_out}", setting="backend") from None
        made.warm_up()
        return made

    @functools.cached_property
    def _ranges(self) -> list[float]:
        """The range of int8 in each convolution, which holds for every picture size."""
        return int8.ranges(self._model, self._calibration, self._calibration_backgrounds)

    def _key(self, size: Size) -> EngineKey:
        device, driver = gpu()
        flags = [("side", str(self._model.side))]  # at which large pictures are translated
        if self._precision == "int8":
            pictures = [*self._calibration, *(one for pair in self._calibration_backgrounds for one in pair)]
            flags.append(("calibration", qualification_frames.digest(pictures)))
        return EngineKey(
            checkpoint=model_digest(self._model),
            graph=graph_digest(self._model, *_compiled_from(self._precision)),
            shape=(self._max_batch, *size),
            backend="tensorrt",
            version=self._version,
            precision=self._precision,
            device=device,
            driver=driver,
            flags=tuple(flags),
        )
