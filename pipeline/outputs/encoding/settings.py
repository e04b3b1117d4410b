"""How an output wants its pictures: which view, how large, how often, at what bit rate. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.live import View

EncoderChoice = Literal["auto", "x264", "h264_nvenc", "x265", "hevc_nvenc"]
"""``auto``: NVENC for pictures on a GPU that has it, else x264. Any other one encodes or fails: nothing stands in."""

VideoCodec = Literal["h264", "hevc"]
"""H.264 or H.265, by FFmpeg's names."""

FFMPEG_ENCODERS: dict[tuple[VideoCodec, bool], str] = {
    ("h264", False): "libx264",
    ("h264", True): "h264_nvenc",
    ("hevc", False): "libx265",
    ("hevc", True): "hevc_nvenc",
}
"""FFmpeg's names of what encodes a codec, on a CPU and by NVENC."""


def codec_of(encoder: EncoderChoice) -> VideoCodec:
    """What an encoder makes."""
    return "hevc" if encoder in ("x265", "hevc_nvenc") else "h264"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What an output asks of the encoder. Outputs of a camera with equal ones share an encoder.

    Attributes:
        view: what is shown.
        size: (width, height) of the encoded picture, both even; a width of 0 follows the height. None: as it comes.
        fps: most pictures a second, by the camera's clock; None: all.
        bitrate: bits a second at the most, on average over a second; None: what the quality takes.
        encoder: what encodes.
    """

    view: View = "day"
    size: tuple[int, int] | None = None
    fps: float | None = None
    bitrate: int | None = None
    encoder: EncoderChoice = "auto"


AS_IT_COMES = Encoding()
"""That of outputs which ask for nothing."""
