"""The parts of the benchmark. Each gives a dict of figures, in which what was not measured says so."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.gpu import cameras
from benchmarks.gpu.budget import Budget, OutOfTimeError, not_measured
from benchmarks.gpu.night_frames import night_frames
from benchmarks.gpu.runners import KINDS, Machine, Run, make, products, ratio, seconds_each
from nightday.engines.backends.tensorrt.export import WholeGraph
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.errors import EngineError
from nightday.engines.model.checkpoint import load_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import frames_of_checkpoint
from nightday.engines.model.settings import COMPACT, LIGHT, PAPER, GeneratorSettings

ROOT = Path(__file__).parent.parent.parent
TOY = GeneratorSettings(blocks=1, width=4)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the run.

    Attributes:
        name: its key in the report.
        measure: gives its figures.
        seconds: what it may take of the whole, at most.
    """

    name: str
    measure: Callable[[Machine, Budget], dict[str, Any]]
    seconds: float


def generator_share(machine: Machine, budget: Budget) -> dict[str, Any]:
    """The paper's model at batch 16, 512×288: its products a second against those of one large matrix product."""
    settings, batch, size, side = (TOY, 2, (32, 48), 128) if machine.smoke else (PAPER, 16, (288, 512), 8192)
    model = NightToDay(settings).eval()
    each = 2 * products(model, size)
    half = torch.float32 if machine.smoke else torch.float16
    a, b = (torch.randn(side, side, device=machine.device, dtype=half) for _ in "ab")
    frames = _frames(batch, size, machine)
    calls: dict[str, Callable[[], Tensor]] = {"matmul": lambda: a @ b}
    rows: dict[str, Any] = {}
    for kind in KINDS:
        run = _try(rows, kind, kind, model, size, batch, machine, budget)
        if run is not None:
            calls[kind] = partial(run, frames)
    rounds, seconds = (2, 0.01) if machine.smoke else (5, 1.0)
    times = seconds_each(calls, machine, budget, rounds=rounds, seconds=seconds)
    matmul = [2 * side**3 / t for t in times.pop("matmul")]
    for kind, spent in times.items():
        share = statistics.median(batch * each / t / rate for t, rate in zip(spent, matmul, strict=True))
        rows[kind] = {
            "share": share,
            "fps": batch / statistics.median(spent),
            "against_eager": ratio(times["eager"], spent),
        }
    return {
        "bar": "share of the matrix product's rate ≥ 0.55",
        "batch": batch,
        "size": size,
        "gflop_a_frame": each / 1e9,
        "matmul_side": side,
        "matmul_tflops": statistics.median(matmul) / 1e12,
        **rows,
    }


def cameras_served(machine: Machine, budget: Budget) -> dict[str, Any]:
    """Throughput of the compact and the light model, and how many 30 fps cameras of 1080p they serve."""
    full, sizes = ((96, 128), ((48, 64),)) if machine.smoke else ((1080, 1920), ((540, 960), (1080, 1920)))
    models = {"light": LIGHT, "compact": COMPACT}
    if machine.smoke:
        models = {"light": replace(LIGHT, blocks=1, width=4)}
    batch, seconds = (2, 0.3) if machine.smoke else (8, 2.5)
    rows: dict[str, Any] = {"source": full, "batch": batch}
    with _decoder(full, machine) as (opened, rows["decoding"]):
        for size in sizes:
            for name, settings in models.items():
                row = f"{name} {size[1]}x{size[0]}"
                rows[row] = _served(
                    NightToDay(settings).eval(), size, machine, budget, opened, batch, seconds
                )
    return rows


def _served(
    model: NightToDay,
    size: tuple[int, int],
    machine: Machine,
    budget: Budget,
    opened: Any,
    batch: int,
    seconds: float,
) -> dict[str, Any] | str:
    """One row, on the best backend that there is."""
    row: dict[str, Any] = {}
    for kind in reversed(KINDS):
        run = _try(row, kind, kind, model, size, batch, machine, budget)
        if run is None:
            continue
        try:
            frames = _frames(batch, size, machine)
            rounds, turn = (1, 0.01) if machine.smoke else (3, 0.5)
            times = seconds_each({kind: partial(run, frames)}, machine, budget, rounds=rounds, seconds=turn)
            fps = batch / statistics.median(times[kind])
            for part in range(1, batch):  # batches that are not full get their graphs before anything counts
                if kind == "tensorrt":
                    run(frames[:part])
            padded = run if kind == "tensorrt" else _padded(run, batch)
            row |= {"backend": kind, "fps": fps}
            row |= cameras.most_cameras(
                opened, padded, size, machine, budget, bare_fps=fps, batch=batch, seconds=seconds
            )
        except (OutOfTimeError, RuntimeError) as error:
            row["cameras"] = not_measured(error)
        return row
    return row


def _padded(run: Run, batch: int) -> Run:
    """``run`` for any number of frames: torch.compile's graph has one size."""

    def padded(frames: Tensor) -> Tensor:
        missing = batch - len(frames)
        if missing == 0:
            return run(frames)
        return run(torch.cat((frames, frames.new_zeros((missing, *frames.shape[1:])))))[: len(frames)]

    return padded


@contextmanager
def _decoder(full: tuple[int, int], machine: Machine) -> Iterator[tuple[Callable[[int], Any], str]]:
    """What opens sources of so many cameras, and what it is."""
    with ExitStack() as stack:
        try:
            clip = stack.enter_context(cameras.sample_clip(full))
            accel = None if machine.smoke else cameras.nvdec()
            cameras.first_frame(clip, accel)
        except Exception as error:  # no PyAV, no driver, no NVDEC
            frames = cameras.made_up(8, full, machine.device)
            what = f"frames made up on the device; decoding {not_measured(error)}"
            yield lambda count: nullcontext(cameras.Synthetic(count, frames, time.monotonic)), what
        else:
            what = "on the CPU, for the smoke test" if accel is None else "NVDEC through PyAV, H.264"
            yield partial(cameras.decoding, clip=clip, accel=accel), what


def frames_stay(machine: Machine, budget: Budget) -> dict[str, Any]:
    """One camera from H.264 to H.264 with its frames kept on the GPU, against the same with frames on the host."""
    from benchmarks.gpu import chain  # PyAV

    smoke = machine.smoke
    settings, full = (TOY, (96, 128)) if smoke else (LIGHT, (1080, 1920))
    rows: dict[str, Any] = {"bar": "no whole frame crosses where there are NVDEC and NVENC", "size": full}
    with cameras.sample_clip(full) as clip, tempfile.TemporaryDirectory() as folder:
        engine = chain.engine_of(NightToDay(settings).eval(), Path(folder))
        rows["engine"] = f"{engine.info.backend} {engine.info.precision}"
        engine.prepare(*full)
        for name, stay in (("host", False), ("gpu", True)):
            budget.ask(0 if smoke else 5)
            if stay and engine.device is None:
                rows[name] = not_measured("there is no NVIDIA GPU")
                continue
            rows[name] = chain.measure(clip, engine, stay=stay)
    if isinstance(rows["gpu"], dict):
        rows["gpu / host"] = rows["gpu"]["fps"] / rows["host"]["fps"]
    return rows


def engine_load(machine: Machine, budget: Budget) -> dict[str, Any]:
    """Seconds until a TensorRT engine is ready: built, and taken from the cache."""
    from nightday.engines.backends.tensorrt.engine import TensorRtEngine

    settings, size = (TOY, (32, 48)) if machine.smoke else (LIGHT, (288, 512))
    model = NightToDay(settings).eval()
    what = {"bar": "loaded / built ≤ 0.05", "size": size}
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(2):
            budget.ask(1)
            began = time.perf_counter()
            try:
                engine = TensorRtEngine(
                    model, name="benchmark", precision="fp16", cache=EngineCache(Path(folder) / "engines")
                )
                engine.prepare(*size)
            except EngineError as error:
                return {**what, "loaded / built": not_measured(error)}
            seconds.append(time.perf_counter() - began)
    built, loaded = seconds
    return {**what, "built_s": built, "loaded_s": loaded, "loaded / built": loaded / built}


def training_step(machine: Machine, budget: Budget) -> dict[str, Any]:
    """A training step of DiCo against one of CUT."""
    from benchmarks import train_speed  # PyAV and OpenCV

    size: Literal["compact", "paper"] = "compact" if machine.smoke else "paper"
    crop, steps, mixed = (64, 1, False) if machine.smoke else (256, 20, True)
    device: Literal["cpu", "cuda"] = "cuda" if machine.device.type == "cuda" else "cpu"
    methods = ("dico", "cut")
    budget.ask(0 if machine.smoke else 30)
    times = train_speed.measure(
        size=size, crop=crop, steps=steps, device=device, mixed=mixed, methods=methods
    )
    return {
        "size": size,
        "crop": crop,
        "mixed": mixed,
        **{f"{name}_s": statistics.median(spent) for name, spent in times.items()},
        "CUT / DiCo": ratio(times["cut"], times["dico"]),
        "published CUT / DiCo": ratio(times[train_speed.PUBLISHED], times["dico"]),
    }


def quality(machine: Machine, budget: Budget) -> dict[str, Any]:
    """PSNR of the shipped model in each precision on each backend against eager fp32, on four real frames.

    Eager int8 is what TensorRT's is meant to be: fp32 rounded as int8 is.
    """
    path = ROOT / "weights" / "a1_barnet.pt"
    model, calibration = load_checkpoint(path), frames_of_checkpoint(path)
    rows: dict[str, Any] = {"against": "eager fp32 without TF32, dB, the worst of the frames"}
    pictures, rows["frames"] = night_frames()
    if machine.smoke:
        pictures = pictures[:, :48, :64]
    frames = torch.from_numpy(np.ascontiguousarray(pictures)).to(machine.device)
    size = (int(frames.shape[1]), int(frames.shape[2]))
    with _exact(), torch.inference_mode():
        whole = WholeGraph(model, size).to(machine.device)
        want = whole(frames.float())
    for kind in KINDS:
        for precision in ("int8", "fp16", "fp32"):
            name = f"{kind} {precision}"
            if name == "compile int8":  # nothing but eager once more
                continue
            with _exact():
                run = _try(
                    rows, name, kind, model, size, len(frames), machine, budget, precision, calibration
                )
                if run is not None:
                    rows[name] = _psnr(run(frames), want)
    return rows


def int8_speed(machine: Machine, budget: Budget) -> dict[str, Any]:
    """TensorRT in int8 against itself in fp16, for each generator."""
    models = {"light": (LIGHT, (540, 960)), "compact": (COMPACT, (540, 960)), "paper": (PAPER, (288, 512))}
    batch = 8
    if machine.smoke:
        models, batch = {"light": (replace(LIGHT, blocks=1, width=4), (48, 64))}, 2
    rows: dict[str, Any] = {"bar": "int8 / fp16 > 1, else auto takes fp16", "batch": batch}
    for name, (settings, size) in models.items():
        model = NightToDay(settings).eval()
        row: dict[str, Any] = {"size": size}
        rows[name] = row
        frames = _frames(batch, size, machine)
        calls = {}
        for precision in ("fp16", "int8"):
            run = _try(row, precision, "tensorrt", model, size, batch, machine, budget, precision)
            if run is not None:
                calls[precision] = partial(run, frames)
        try:
            times = seconds_each(calls, machine, budget, rounds=5, seconds=0.5)
        except OutOfTimeError as error:
            row["int8 / fp16"] = not_measured(error)
            continue
        row |= {f"{precision} fps": batch / statistics.median(spent) for precision, spent in times.items()}
        if len(times) == 2:
            row["int8 / fp16"] = ratio(times["fp16"], times["int8"])
    return rows


class _exact:  # noqa: N801  used as a function
    """Convolutions in full float32: cuDNN's default is TF32."""

    def __enter__(self) -> None:
        self._before = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.backends.cudnn.allow_tf32 = self._before


def _psnr(got: Tensor, want: Tensor) -> float | str:
    error = (got.float() - want.float()).square().mean(dim=(1, 2, 3)).max()
    return "identical" if error == 0 else float(10 * torch.log10(255**2 / error))


def _frames(batch: int, size: tuple[int, int], machine: Machine) -> Tensor:
    return torch.randint(0, 60, (batch, *size, 3), dtype=torch.uint8).to(machine.device)


def _try(
    rows: dict[str, Any],
    name: str,
    kind: str,
    model: NightToDay,
    size: tuple[int, int],
    batch: int,
    machine: Machine,
    budget: Budget,
    precision: str = "fp16",
    calibration: Sequence[NDArray[np.uint8]] = (),
) -> Run | None:
    """What ``make`` makes, or None and a row that says why not."""
    try:
        budget.ask(1)
        return make(kind, model, size, batch, machine, precision=precision, calibration=calibration)
    except Exception as error:  # a compiler raises anything
        rows[name] = not_measured(error)
        return None


PARTS = (
    Part("generator_share", generator_share, 170),
    Part("engine_load", engine_load, 60),
    Part("quality", quality, 70),
    Part("cameras", cameras_served, 150),
    Part("frames_stay", frames_stay, 40),
    Part("int8", int8_speed, 60),
    Part("training_step", training_step, 60),
)
