"""One camera from a clip to H.264 by the pipeline's own functions: which bytes cross between GPU and host."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from av.video.reformatter import VideoReformatter
from torch.profiler import ProfilerActivity, profile

from nightday.engines import device_copies
from nightday.engines.backends.base import Engine
from nightday.engines.backends.eager import EagerEngine
from nightday.engines.cache.engine_cache import EngineCache
from nightday.engines.errors import EngineError
from nightday.engines.model.generator import NightToDay
from nightday.pipeline.analysis.draw import draw_mark
from nightday.pipeline.core.backgrounds import UNKNOWN
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.media import gpu_video
from nightday.pipeline.media.colour import to_rgb
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.translation.engine_call import call_engine, translate


def engine_of(model: NightToDay, folder: Path) -> Engine:
    """TensorRT where it is, else PyTorch as it is."""
    try:
        from nightday.engines.backends.tensorrt.engine import TensorRtEngine

        return TensorRtEngine(model, name="benchmark", precision="fp16", cache=EngineCache(folder))
    except EngineError:
        return EagerEngine(model, name="benchmark", precision="fp32")


def measure(clip: Path, engine: Engine, *, stay: bool) -> dict[str, Any]:
    """A clip through decoding, translation and encoding, twice, of which the second counts.

    Args:
        clip: H.264.
        engine: the generator.
        stay: whether frames are to stay on the GPU, as far as it has the units.

    Returns:
        Frames a second, what decoded and encoded, copies a frame as the pipeline counts them, and as CUDA saw them.
    """
    shared = SharedEncoder(camera="benchmark")
    frames = _chain(clip, engine, shared, stay=stay, begins=0)
    before = device_copies.counted()
    began = time.perf_counter()
    decoders = set()
    for decoder in _chained(clip, engine, shared, stay=stay, begins=frames):
        decoders.add(decoder)
    seconds = time.perf_counter() - began
    counted = device_copies.counted()
    seen = crossed(lambda: _chain(clip, engine, shared, stay=stay, begins=2 * frames))
    with av.open(str(clip)) as container:
        luma = container.streams.video[0].width * container.streams.video[0].height
    return {
        "fps": frames / seconds,
        "decoder": "/".join(sorted(decoders)),
        "encoder": shared.name,
        "copies_a_frame": {
            f"{direction} {reason}": (counted[direction, reason] - count) / frames
            for (direction, reason), count in before.items()
            if counted[direction, reason] > count
        },
        "whole_frames_seen_by_cuda_a_frame": None
        if seen is None
        else sum(count >= luma for count in seen) / frames,
        "bytes_seen_by_cuda_a_frame": None if seen is None else sum(seen) / frames,
    }


def crossed(work: Callable[[], object]) -> list[int] | None:
    """Bytes of each copy between host and GPU while ``work`` was done, as CUDA told it; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        work()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiled.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    return [
        event["args"]["bytes"]
        for event in events
        if event.get("cat") == "gpu_memcpy" and ("HtoD" in event["name"] or "DtoH" in event["name"])
    ]


def _chain(clip: Path, engine: Engine, shared: SharedEncoder, *, stay: bool, begins: int) -> int:
    return sum(1 for _ in _chained(clip, engine, shared, stay=stay, begins=begins))


def _chained(clip: Path, engine: Engine, shared: SharedEncoder, *, stay: bool, begins: int) -> Iterator[str]:
    """What decoded each frame, once that is encoded."""
    device = engine.device if stay else None
    accel = gpu_video.accelerator() if device is not None and gpu_video.fault() is None else None
    reformatter = VideoReformatter()
    with av.open(str(clip), hwaccel=accel) as container:
        for number, video in enumerate(container.decode(video=0), begins):
            there = gpu_video.on_gpu(video)
            rgb: device_copies.Pixels
            if there:
                rgb = gpu_video.rgb_of(video)
            else:
                decoded = to_rgb(video, reformatter)
                rgb = decoded if device is None else device_copies.to_device(decoded, device, "decode")
            (made,) = translate(
                lambda frames, _: call_engine(engine, frames), [rgb], [UNKNOWN], device=device
            )
            if isinstance(made, Exception):
                raise made
            day, *_ = made
            draw_mark(day)
            frame = Frame("benchmark", video, number, Fraction(1, 30), float(number), 0.0)
            shared.encode(Picture(frame, day, translated=True), key=False)
            yield "nvdec" if there else "software"
