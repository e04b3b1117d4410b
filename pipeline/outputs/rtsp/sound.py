"""A camera's sound in RTP, which FFmpeg's muxer makes, and what SDP says of it."""

from __future__ import annotations

import io

import av

from ...core.sound import SoundFormat
from .client import PAYLOAD_TYPE

SOUND_PAYLOAD_TYPE = PAYLOAD_TYPE + 1
_G711 = {"pcm_alaw": "PCMA", "pcm_mulaw": "PCMU"}


def sound_lines(form: SoundFormat) -> list[str]:
    """The lines of SDP that describe sound of ``form``: AAC (RFC 3640), Opus (RFC 7587) or G.711 (RFC 3551)."""
    number = SOUND_PAYLOAD_TYPE
    if form.codec == "aac":
        # Packets with a header each, as in MPEG-TS, are told of in it alone; what described them has made that of it.
        with av.open(io.BytesIO(form.description), format=form.description_form) as described:
            setup = bytes(described.streams.audio[0].codec_context.extradata or b"")
        mapping = f"mpeg4-generic/{form.rate}/{form.channels}"
        more = [
            f"a=fmtp:{number} streamtype=5; profile-level-id=1; mode=AAC-hbr; sizelength=13; indexlength=3; "
            f"indexdeltalength=3; config={setup.hex()}"
        ]
    elif form.codec == "opus":
        mapping, more = "opus/48000/2", [f"a=fmtp:{number} sprop-stereo={int(form.channels == 2)}"]
    else:
        mapping, more = f"{_G711[form.codec]}/{form.rate}/{form.channels}", []
    return [f"m=audio 0 RTP/AVP {number}", f"a=rtpmap:{number} {mapping}", *more]
