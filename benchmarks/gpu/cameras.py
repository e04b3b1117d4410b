"""How many cameras of 30 fps a GPU serves, from decoded frame to translated tensor.

Frames are NV12 in the GPU's memory, as NVDEC leaves them. Newest wins: a camera's frame that waits is replaced by
its next one. The count is the largest at which p95 from decode to tensor stays below the bar and 99 % of frames are
translated.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.budget import Budget
from benchmarks.gpu.runners import Machine, Run
from nightday.engines.video import colour
from nightday.pipeline.media import nv12

if TYPE_CHECKING:  # a machine without PyAV measures with frames that were never decoded
    import av
    from av.codec.hwaccel import HWAccel

FPS = 30
P95_BAR = 0.1  # seconds
SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.45, 0.3, 0.15)  # of what the bare model would serve


@dataclass(frozen=True, slots=True)
class Nv12:
    """A decoded frame: luma uint8 (H, W) and chroma uint8 (H/2, W/2, 2) on the device, and when it was there."""

    luma: Tensor
    chroma: Tensor
    decoded_at: float


class Source(Protocol):
    """Cameras that run."""

    @property
    def offered(self) -> int:
        """Frames decoded so far."""
        ...

    def take(self, most: int) -> list[Nv12]:
        """The frames that wait, the oldest first, one a camera at the most."""
        ...


class Slots:
    """One frame a camera; a newer one replaces an older one."""

    def __init__(self) -> None:
        self.offered = 0
        self._waiting: dict[int, Nv12] = {}
        self._lock = threading.Lock()

    def put(self, camera: int, frame: Nv12) -> None:
        """Offer a frame."""
        with self._lock:
            self.offered += 1
            self._waiting[camera] = frame

    def take(self, most: int) -> list[Nv12]:
        """See ``Source``."""
        with self._lock:
            first = sorted(self._waiting, key=lambda camera: self._waiting[camera].decoded_at)[:most]
            return [self._waiting.pop(camera) for camera in first]


class Synthetic:
    """Cameras whose frames lie on the device already. Frame k of camera i of n comes at (k + i/n)/fps."""

    def __init__(self, cameras: int, frames: list[Nv12], clock: Callable[[], float]) -> None:
        self._slots = Slots()
        self._frames = frames
        self._cameras = cameras
        self._clock = clock
        self._began = clock()

    @property
    def offered(self) -> int:
        """See ``Source``."""
        return self._slots.offered

    def take(self, most: int) -> list[Nv12]:
        """See ``Source``."""
        while (at := self._began + self._slots.offered / (self._cameras * FPS)) <= self._clock():
            number = self._slots.offered
            frame = self._frames[number % len(self._frames)]
            self._slots.put(number % self._cameras, Nv12(frame.luma, frame.chroma, at))
        return self._slots.take(most)


def made_up(count: int, size: tuple[int, int], device: torch.device) -> list[Nv12]:
    """Frames of a size that nobody decoded: dark noise."""
    height, width = size

    def noise(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, dtype=torch.uint8).to(device)

    return [
        Nv12(noise(16, 80, height, width), noise(120, 136, height // 2, width // 2, 2), 0.0)
        for _ in range(count)
    ]


@contextmanager
def decoding(cameras: int, clip: Path, accel: HWAccel | None) -> Iterator[Slots]:
    """Cameras that decode ``clip`` for ever at 30 fps, a thread and a decoder each; without ``accel`` on the CPU."""
    import av

    slots, stop = Slots(), threading.Event()

    def run(camera: int) -> None:
        due = time.monotonic() + camera / cameras / FPS
        try:
            while True:
                with av.open(str(clip), hwaccel=accel) as container:
                    for frame in container.decode(video=0):
                        if stop.wait(max(0.0, due - time.monotonic())):
                            return
                        slots.put(camera, on_device(frame, time.monotonic()))
                        due = max(
                            due + 1 / FPS, time.monotonic() - 1
                        )  # who is late stays late by 1 s at most
        except (av.error.FFmpegError, RuntimeError):
            return  # the decoder takes no more cameras: too few frames are offered then, and that is told

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(cameras)]
    for thread in threads:
        thread.start()
    try:
        yield slots
    finally:
        stop.set()
        for thread in threads:
            thread.join(5)


def first_frame(clip: Path, accel: HWAccel | None) -> Nv12:
    """The first frame of ``clip``. Raises whatever keeps it from being decoded, by ``accel`` if there is one."""
    import av

    with av.open(str(clip), hwaccel=accel) as container:
        frame = next(container.decode(video=0))
        if accel is not None and frame.format.name != "cuda":
            raise RuntimeError("NVDEC does not take it")
        return on_device(frame, time.monotonic())


def on_device(frame: av.VideoFrame, decoded_at: float) -> Nv12:
    """A decoded frame's planes where they lie. What a CPU decoded is brought into NV12 first."""
    from nightday.pipeline.media import gpu_video

    if frame.format.name not in ("cuda", "nv12"):
        frame = frame.reformat(format="nv12")
    return Nv12(*gpu_video.planes_of(frame), decoded_at)


def nvdec() -> HWAccel:
    """NVDEC through PyAV, its frames left on the GPU. Raises RuntimeError where there is none."""
    from nightday.pipeline.media import gpu_video

    fault = gpu_video.fault()
    if fault is not None:
        raise RuntimeError(fault)
    return gpu_video.accelerator()


@contextmanager
def sample_clip(size: tuple[int, int]) -> Iterator[Path]:
    """Two seconds of moving H.264 of a size, (H, W)."""
    import av

    height, width = size
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 80, (height // 8, width // 4, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(str(path), "w") as out:
            stream: Any = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "30"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for i in range(2 * FPS):
                picture = np.ascontiguousarray(wide[:height, 4 * i : 4 * i + width])
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode())
        yield path


def to_rgb(frames: list[Nv12], size: tuple[int, int], device: torch.device) -> Tensor:
    """NV12 frames (BT.709, limited range) as uint8 RGB (N, H, W, 3) of a size, on the device."""
    luma = torch.stack([frame.luma for frame in frames]).to(device)
    chroma = torch.stack([frame.chroma for frame in frames]).to(device)
    return nv12.to_rgb(luma, chroma, colorspace=colour.BT709, full_range=False, size=size)


def serve(
    source: Source,
    run: Run,
    size: tuple[int, int],
    machine: Machine,
    *,
    batch: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, float]:
    """Translate what ``source`` offers for a while: p95 seconds from decode to tensor, shares translated and busy."""
    latencies: list[float] = []
    busy, end = 0.0, clock() + seconds
    while (now := clock()) < end:
        frames = source.take(batch)
        if not frames:
            time.sleep(0.0005)
            continue
        run(to_rgb(frames, size, machine.device))
        machine.wait()
        done = clock()
        busy += done - now
        latencies += [done - frame.decoded_at for frame in frames]
    return {
        "p95_s": float(np.quantile(latencies, 0.95)) if latencies else float("inf"),
        "translated": len(latencies) / max(1, source.offered),
        "busy": busy / seconds,
        "fps": len(latencies) / seconds,
        "offered_fps": source.offered / seconds,
    }


def most_cameras(
    opened: Callable[[int], Any],
    run: Run,
    size: tuple[int, int],
    machine: Machine,
    budget: Budget,
    *,
    bare_fps: float,
    batch: int,
    seconds: float,
) -> dict[str, Any]:
    """The largest number of cameras within the bar, tried from what the bare model would serve downwards.

    Args:
        opened: a context of a ``Source`` for a number of cameras.
        run: the model.
        size: (H, W) that it is given.
        machine, budget: where, and how long at most.
        bare_fps: of the model alone in full batches.
        batch: most frames at once.
        seconds: of each try.
    """
    passed: dict[str, float] | None = None
    failed, cameras = "", 0
    for cameras in dict.fromkeys(max(1, round(bare_fps / FPS * share)) for share in SHARES):
        budget.ask(seconds)
        with opened(cameras) as source:
            figures = serve(source, run, size, machine, batch=batch, seconds=seconds)
        late = figures["offered_fps"] < 0.97 * cameras * FPS
        if figures["p95_s"] < P95_BAR and figures["translated"] >= 0.99 and not late:
            passed = figures
            break
        failed = (
            "decoding"
            if late
            else "the model and the resize before it"
            if figures["busy"] > 0.9
            else "the host"
        )
    return {
        "cameras": cameras if passed else 0,
        "bar": f"p95 < {P95_BAR * 1000:.0f} ms, 99 % of frames, {FPS} fps",
        "p95_ms": passed["p95_s"] * 1000 if passed else f"above the bar with {cameras}",
        "limit": failed or "not found: it served all that the bare model would",
    }
