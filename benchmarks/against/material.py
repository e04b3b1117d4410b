"""The clips that are served and the models that translate them."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from benchmarks.frame_cost import busy_clips
from benchmarks.quiet_scenes import scene
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack
from nightday.engines.model.settings import COMPACT
from nightday.train.footage.scene import Image, read_frames

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "clips" / "night_a1_barnet_simulated.mp4"
LIGHT = ROOT.parent / "weights" / "a1_barnet.pt"


def mixed_scenes(folder: Path) -> list[Path]:
    """Two quiet and two busy scenes, as ``benchmarks.quiet_scenes`` writes them."""
    made = []
    for number, name in enumerate(("still", "walker")):
        made.append(folder / f"{name}.npz")
        np.savez(made[-1], allow_pickle=False, **scene(name, np.random.default_rng((0, number))))
    return made + busy_clips(folder)


def clip(
    path: Path, nights: Iterable[Image], *, height: int, width: int, rate: int, bit_rate: int | None = None
) -> Path:
    """A clip at another size and rate, coded as cameras do: nothing refers ahead, a key frame a second."""
    options = {"preset": "veryfast", "tune": "zerolatency", "bf": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = rate
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        for number, night in enumerate(nights):
            resized = cv2.resize(night, (width, height), interpolation=cv2.INTER_CUBIC)
            video = av.VideoFrame.from_ndarray(np.asarray(resized, np.uint8), format="rgb24")
            video.pts, video.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
    return path


def compact(path: Path) -> Path:
    """A checkpoint of the compact generator with random weights, which cost what trained ones do."""
    torch.manual_seed(0)
    save_checkpoint(path, NightToDay(COMPACT), qualification_frames=pack(read_frames(CLIP)))
    return path
