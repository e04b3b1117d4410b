"""The two values that flow: a decoded camera frame, and the picture made from it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

from nightday.engines.device_copies import Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame, still in the decoder's pixel format: colour is converted only for frames that are used.

    Attributes:
        camera: name of the camera in the configuration.
        video: the decoder's frame: usually yuv420p on the host, or "cuda" where NVDEC left it on the GPU.
        pts: presentation time in ticks of ``time_base``; strictly rising over the camera's whole life,
            reconnects and loops included.
        time_base: seconds a tick.
        decoded_at: seconds on the pipeline's monotonic clock when decoding ended; latency counts from here.
        wall_time: Unix seconds at the same moment.
    """

    camera: str
    video: av.VideoFrame
    pts: int
    time_base: Fraction
    decoded_at: float
    wall_time: float


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a camera's outputs receive for one frame.

    Attributes:
        frame: the frame it was made from; its ``pts`` and ``time_base`` are the output's.
        rgb: uint8 (H, W, 3) RGB, marks and boxes drawn in: an array on the host, or a tensor on the GPU.
        translated: True if the generator made it, False if the camera's own picture passed untouched.
    """

    frame: Frame
    rgb: Pixels
    translated: bool
