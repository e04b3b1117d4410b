"""A segment of HLS: a fragment of MP4 (CMAF) that FFmpeg makes of encoded pictures, and the header apart."""

from __future__ import annotations

from collections.abc import Sequence

import av

from ...core.sound import SoundPacket
from ..encoding.shared_encoder import EncodedPicture
from ..module import HLS_SOUNDS
from ..mp4.segment_file import FINEST, MICROSECONDS
from ..mpeg_ts import CollectedBytes
from ..sound import sound_stream

# One fragment each, which tells its own time. What follows the fragments in a file is of no use here.
_MOVFLAGS = "empty_moov+default_base_moof+frag_custom+frag_discont+skip_trailer+cmaf"
_HEADER = (b"ftyp", b"moov")


def segment_of(
    pictures: Sequence[EncodedPicture],
    sound: Sequence[SoundPacket] = (),
    *,
    until: int,
    origin: int,
    number: int,
    title: str,
) -> tuple[bytes, bytes]:
    """The header and the fragment of ``pictures``, at least one, which begin with a key frame.

    Args:
        pictures: of one stream.
        sound: what is heard with them; of the stream's format.
        until: PTS at which the last one ends.
        origin: PTS at which the stream's time began.
        number: the fragment's.
        title: what the header's comment says.
    """
    first = pictures[0]
    timescale = first.time_base.denominator
    options = {
        "movflags": _MOVFLAGS,
        "fragment_index": str(number + 1),
        "video_track_timescale": str(timescale if timescale <= FINEST else MICROSECONDS),
        "avoid_negative_ts": "disabled",
        "use_editlist": "0",
    }
    written = CollectedBytes()
    with av.open(written, "w", format="mp4", container_options=options) as container:
        container.metadata["comment"] = title
        stream = first.add_stream(container)
        begin = origin * first.time_base
        heard = sound_stream(container, first.sound_in(HLS_SOUNDS), origin=begin, begin=begin)
        ends = [*(picture.pts for picture in pictures[1:]), until]
        for picture, end in zip(pictures, ends, strict=True):
            lasts = max(1, end - picture.pts)
            container.mux_one(picture.packet(stream, origin=origin, duration=lasts))
        if heard is not None:
            heard.mux(sound)
    return _apart(written.take())


def _apart(data: bytes) -> tuple[bytes, bytes]:
    """The boxes of the header, which come first, and the others."""
    start = 0
    while data[start + 4 : start + 8] in _HEADER:
        start += int.from_bytes(data[start : start + 4], "big")
    return data[:start], data[start:]
