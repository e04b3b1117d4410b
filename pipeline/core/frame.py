"""The values that flow through the pipeline: a decoded camera frame, and the picture made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightday.engines.backends.base import EngineInfo
from nightday.engines.device_copies import Pixels

from .packet_log import PacketMark

if TYPE_CHECKING:
    from fractions import Fraction

    import av


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame, in the decoder's pixel format. Colour is converted only for frames that are used.

    Attributes:
        camera: name of the camera in the configuration.
        video: the decoder's frame: usually yuv420p on the host, or "cuda" for a frame that NVDEC left on the GPU.
        pts: presentation time in ticks of ``time_base``. It rises strictly over the camera's whole life, across
            reconnects and loops.
        time_base: seconds a tick.
        decoded_at: when decoding ended, in seconds on the pipeline's monotonic clock. Latency counts from here.
        wall_time: the same moment in Unix seconds.
        packets: how far the camera's packets had been decoded; None where nobody logs them.
    """

    camera: str
    video: av.VideoFrame
    pts: int
    time_base: Fraction
    decoded_at: float
    wall_time: float
    packets: PacketMark | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its picture, which is upright; ``video`` may be stored turned."""
        # Where there is a frame PyAV is loaded, and this costs nothing.
        from nightday.engines.video import look

        return look.size_of(self.video)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width by height of a pixel of its picture."""
        from nightday.engines.video import look

        return look.aspect_of(self.video)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a camera's outputs receive for one frame.

    Attributes:
        frame: the frame it was made from; its ``pts`` and ``time_base`` are the output's.
        rgb: uint8 (H, W, 3) RGB, upright, marks and boxes drawn in: an array on the host, or a tensor on the GPU.
        translated: True if the generator made it, False if it is the camera's own picture, untouched or brightened.
        trust: where each part of it comes from, uint8 (h, w, 3) shares of 255: drawn from tonight's light, remembered
            from the day, unclear; None where that is not told.
        seen: the same as the camera saw it, (H, W, 3), nothing drawn into it; None where that is not known apart.
        made_by: the engine that made it; None where none did.
        aspect: width by height of a pixel of ``rgb``, where it is not the frame's.
    """

    frame: Frame
    rgb: Pixels
    translated: bool
    trust: Pixels | None = None
    seen: Pixels | None = None
    aspect: Fraction | None = None
    made_by: EngineInfo | None = None

    @property
    def pixel_aspect(self) -> Fraction:
        """Width by height of a pixel."""
        return self.frame.pixel_aspect if self.aspect is None else self.aspect
