"""An entry of a camera's ``outputs``: where to, and how its pictures are wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, ValidationInfo, field_validator, model_validator

from ..core.camera_url import CameraUrl
from ..core.live import View
from ..outputs.encoding.settings import EncoderChoice, Encoding
from .fields import Number, OutputAddress, fail
from .section import Section

# Rows and columns that an encoder takes.
_LEAST_SIZE, _MOST_SIZE = 16, 8192
_LEAST_BITS, _MOST_BITS = 16_000, 400_000_000
_BITS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([kKmM]?)")
_OTHER_CODECS = re.compile(
    r"(x|lib|h\.?)?26[56].*|hevc.*|av1.*|svt.*|vp[89].*|mjpe?g.*|mpeg.*", re.IGNORECASE
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
    if isinstance(value, str) and _OTHER_CODECS.fullmatch(value):
        fail("makes no H.264, which is what every output here holds; use auto or x264")
    if isinstance(value, str) and value.lower() in ("nvenc", "h264_nvenc"):
        fail("is what auto takes for pictures on a GPU that has it; use auto")
    return value


class OutputConfig(Section):
    """One entry of ``outputs``; an address alone is short for a section with only ``to``.

    Attributes:
        to: a path, or an address of one of the kinds in ``outputs/registry.py``.
        view: what is shown: the ``day``, the ``night`` as the camera sees it, or both as a ``pair``, night left.
        size: the height of the encoded picture, or its width and height; without it, that of the view.
        fps: most pictures a second.
        bitrate: most bits a second.
        encoder: what encodes.
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
