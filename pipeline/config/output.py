"""An entry of a camera's ``outputs``: where to, and how its pictures are wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator, model_validator

from ..core.camera_url import CameraUrl
from ..core.live import View
from ..outputs.encoding.settings import EncoderChoice, Encoding, codec_of
from ..outputs.registry import codec_fault
from .fields import Number, OutputAddress, fail
from .section import Section

# Rows and columns that an encoder takes.
_LEAST_SIZE, _MOST_SIZE = 16, 8192
_LEAST_BITS, _MOST_BITS = 16_000, 400_000_000
_BITS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([kKmM]?)")
# What encoders are called elsewhere.
_ENCODERS = {
    "libx264": "x264",
    "nvenc": "h264_nvenc",
    "nvenc_h264": "h264_nvenc",
    "libx265": "x265",
    "h265_nvenc": "hevc_nvenc",
    "nvenc_hevc": "hevc_nvenc",
}
_OTHER_CODECS = re.compile(
    r".*26[356].*|hevc.*|av1.*|.*av1|.*vp[89].*|mjpe?g.*|mpeg.*|.*(qsv|vaapi|amf|v4l2m2m)", re.IGNORECASE
)


def _size(value: object) -> tuple[int, int]:
    """(width, height), a width of 0 where only the height is given."""
    numbers = list(value) if isinstance(value, (list, tuple)) else [value]
    given = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if len(given) != len(numbers) or len(given) not in (1, 2):
        fail("must be a height such as 480, or [width, height] such as [640, 360]")
    if not all(_LEAST_SIZE <= number <= _MOST_SIZE for number in given):
        fail(f"must be from {_LEAST_SIZE} to {_MOST_SIZE}")
    if any(number % 2 for number in given):
        fail("must be even, since the colours of H.264 are halved (4:2:0)")
    return (given[0], given[1]) if len(given) == 2 else (0, given[0])


def _bits(value: object) -> int:
    found = None if isinstance(value, bool) else _BITS.fullmatch(str(value))
    if found is None:
        fail("must be bits a second, such as 2M or 800k")
    bits = round(float(found[1]) * {"": 1, "k": 1e3, "m": 1e6}[found[2].lower()])
    if not _LEAST_BITS <= bits <= _MOST_BITS:
        fail(f"must be from {_LEAST_BITS // 1000}k to {_MOST_BITS // 10**6}M bits a second")
    return bits


def _encoder(value: object) -> object:
    if not isinstance(value, str):
        return value
    known = _ENCODERS.get(value.lower(), value.lower())
    if known not in get_args(EncoderChoice) and _OTHER_CODECS.fullmatch(value):
        fail("is no encoder here; H.264 is made by x264 or h264_nvenc, H.265 by x265 or hevc_nvenc")
    return known


class OutputConfig(Section):
    """One entry of ``outputs``; an address alone is short for a section with only ``to``.

    Attributes:
        to: a path, or an address of one of the kinds in ``outputs/registry.py``.
        view: what is shown: the ``day``, the ``night`` as the camera sees it, or both as a ``pair``, night left.
        size: the height of the encoded picture, or its width and height; without it, that of the view.
        fps: most pictures a second.
        bitrate: most bits a second.
        encoder: what encodes: H.264 or H.265, by name; ``auto`` takes NVENC where pictures are on a GPU, else x264.
        window: of HLS: seconds that the playlist names; their files stay twice as long.
    """

    to: OutputAddress
    view: View = "day"
    size: Annotated[tuple[int, int] | None, PlainValidator(_size)] = None
    fps: Annotated[Number, Field(gt=0, le=240)] | None = None
    bitrate: Annotated[int | None, PlainValidator(_bits)] = None
    encoder: Annotated[EncoderChoice, BeforeValidator(_encoder)] = "auto"
    window: Annotated[Number, Field(ge=10, le=21_600)] | None = None

    @field_validator("window")
    @classmethod
    def _is_for_hls(cls, value: float | None, info: ValidationInfo) -> float | None:
        to: CameraUrl | None = info.data.get("to")
        if value is not None and to is not None and to.scheme != "hls":
            fail("is for HLS; leave it out here (`retention` says how long files stay)")
        return value

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, data: Any) -> Any:
        if isinstance(data, (str, CameraUrl)):
            return {"to": data}
        if not isinstance(data, (Mapping, OutputConfig)):
            fail("must be a path or an address, or a mapping with one below `to`")
        return data

    @field_validator("encoder")
    @classmethod
    def _fits_the_container(cls, value: EncoderChoice, info: ValidationInfo) -> EncoderChoice:
        to: CameraUrl | None = info.data.get("to")
        fault = None if to is None else codec_fault(to, codec_of(value))
        if fault is not None:
            fail(f"{fault}; use auto, x264 or h264_nvenc")
        return value

    @property
    def encoding(self) -> Encoding:
        """What it asks of the encoder."""
        return Encoding(
            view=self.view, size=self.size, fps=self.fps, bitrate=self.bitrate, encoder=self.encoder
        )

    @property
    def is_plain(self) -> bool:
        """Whether it says nothing but where to."""
        return self.encoding == Encoding() and self.window is None
