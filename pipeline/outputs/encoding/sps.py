"""H.264's sequence parameter sets: what they say about the rate is taken out.

x264 and NVENC always write a rate, and x264 marks it as fixed. A camera's rate is not known at its first picture, and
changes; a player that believes a wrong one plays too fast or too slow. The PTS tell it.
"""

from __future__ import annotations

import re

from .settings import VideoCodec

# A start code and the first byte of an SPS, and the rest up to the next start code.
_SPS = re.compile(rb"(\x00\x00\x01[\x07\x27\x47\x67])(.*?)(?=\x00\x00[\x00\x01]|\Z)", re.DOTALL)
# The profiles that say how their colour is sampled (ITU-T H.264, 7.3.2.1.1).
_SAMPLED = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)
_SETS: dict[VideoCodec, tuple[int, ...]] = {"h264": (7, 8), "hevc": (32, 33, 34)}
# num_units_in_tick, time_scale and fixed_frame_rate_flag.
_TIMING_BITS = 32 + 32 + 1


def without_rate(packet: bytes) -> bytes:
    """An Annex B packet whose sequence parameter sets say nothing about the rate; all else stays as it is.

    A set that has no rate stays as it is, too, and so does one with scaling lists or picture order of type 1, which
    neither x264 nor NVENC writes unless told to.
    """
    return _SPS.sub(lambda unit: unit[1] + _without_rate(unit[2]), packet)


def parameter_sets(packet: bytes, codec: VideoCodec = "h264") -> list[bytes]:
    """The SPS and PPS among the units of an Annex B packet; of H.265 the VPS as well."""
    units = (unit.rstrip(b"\0") for unit in re.split(b"\0\0\1", packet))
    return [unit for unit in units if unit and kind_of(unit, codec) in _SETS[codec]]


def kind_of(unit: bytes, codec: VideoCodec) -> int:
    """The kind of a unit without its start code (ITU-T H.264, 7.3.1, and H.265, 7.3.1.2)."""
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def level_of(sets: list[bytes]) -> int | None:
    """The level, times 10, that a sequence parameter set tells; None if there is none among ``sets``."""
    return next((unit[3] for unit in sets if unit[0] & 31 == 7 and len(unit) > 3), None)


def _without_rate(body: bytes) -> bytes:
    bits = "".join(f"{byte:08b}" for byte in body.replace(b"\0\0\3", b"\0\0"))
    at = _timing_at(_Bits(bits))
    if at is None:
        return body
    rest = (bits[:at] + "0" + bits[at + 1 + _TIMING_BITS :]).rstrip("0")  # ends with the stop bit
    rest += "0" * (-len(rest) % 8)
    data = bytes(int(rest[start : start + 8], 2) for start in range(0, len(rest), 8))
    return re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", data)


class _Bits:
    """Reads a string of "0" and "1" from the left."""

    def __init__(self, bits: str) -> None:
        self._bits = bits
        self.at = 0

    def take(self, count: int = 1) -> int:
        """The number in the next ``count`` bits."""
        self.at += count
        return int(self._bits[self.at - count : self.at], 2)

    def take_ue(self) -> int:
        """The next number in Exp-Golomb code, without a sign."""
        zeros = self._bits.index("1", self.at) - self.at
        self.at += zeros
        return self.take(zeros + 1) - 1


def _timing_at(bits: _Bits) -> int | None:
    """Where timing_info_present_flag is, if it is set (ITU-T H.264, 7.3.2.1.1 and E.1.1)."""
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.take_ue()  # number of the set
    if profile in _SAMPLED:
        if bits.take_ue() == 3:  # 4:4:4
            bits.take()
        bits.take_ue(), bits.take_ue(), bits.take()  # depths of luma and chroma, lossless
        if bits.take():  # scaling lists
            return None
    bits.take_ue()  # length of frame numbers
    order = bits.take_ue()
    if order == 1:
        return None
    if order == 0:
        bits.take_ue()
    bits.take_ue(), bits.take(), bits.take_ue(), bits.take_ue()  # references, gaps, width, height
    if not bits.take():  # fields
        bits.take()
    bits.take()  # direct_8x8_inference_flag
    if bits.take():  # cropping
        for _ in range(4):
            bits.take_ue()
    if not bits.take():  # no VUI
        return None
    if bits.take() and bits.take(8) == 255:  # sample aspect ratio, written out
        bits.take(32)
    if bits.take():  # overscan
        bits.take()
    if bits.take():  # format and range of the video
        bits.take(4)
        if bits.take():  # colours
            bits.take(24)
    if bits.take():  # place of the chroma
        bits.take_ue(), bits.take_ue()
    return bits.at - 1 if bits.take() else None
