"""How an output wants its pictures: which view, how large, how often, at what bit rate. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.live import View

EncoderChoice = Literal["auto", "x264"]
"""``auto``: NVENC for pictures on a GPU that has it, else x264."""


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
