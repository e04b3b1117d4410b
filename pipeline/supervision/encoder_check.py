"""Whether the encoders that outputs name can encode on this machine."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from ..config.errors import ConfigError
from ..config.load import LoadedConfig
from ..core.faults import detail_of
from ..outputs.encoding.settings import FFMPEG_ENCODERS, EncoderChoice, codec_of

# Pixels of a picture that is encoded to try it: NVENC takes none below 145x49.
_TRIED = (256, 256)


def check_encoders(loaded: LoadedConfig) -> LoadedConfig:
    """``loaded``, whose encoders can all encode here. Raises ConfigError where one cannot."""
    faults = encoder_faults(loaded)
    if faults:
        raise ConfigError(faults)
    return loaded


def encoder_faults(loaded: LoadedConfig) -> list[str]:
    """A line for each output whose encoder cannot encode here, with its place in the file and the way out."""
    faults = []
    for index, camera in enumerate(loaded.config.cameras):
        for number, output in enumerate(camera.outputs):
            fault = encoder_fault(output.encoder)
            if fault is not None:
                faults.append(loaded.fault(("cameras", index, "outputs", number, "encoder"), fault))
    return faults


@cache
def encoder_fault(encoder: EncoderChoice) -> str | None:
    """Why an encoder that was named cannot encode here, and the way out; None if it can. ``auto`` always can."""
    if encoder == "auto":
        return None
    codec, nvenc = codec_of(encoder), encoder.endswith("_nvenc")
    name = FFMPEG_ENCODERS[codec, nvenc]
    software = "x264" if codec == "h264" else "x265"
    way_out = f"use {software}" if nvenc else "use auto"
    if name not in av.codecs_available:
        return f"{encoder}: this FFmpeg was built without {name}; {way_out}, or install a PyAV that has it"
    try:
        if nvenc:
            _try(name)
    except (av.error.FFmpegError, ValueError) as error:
        why = f"no NVIDIA GPU with an encoder for it, or no driver: {detail_of(error)}"
        return f"{encoder}: does not encode here ({why}); {way_out}"
    return None


def _try(name: str) -> None:
    """Encode one grey picture. Raises what PyAV raises."""
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = _TRIED
    context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
    frame = av.VideoFrame(*_TRIED, "yuv420p")
    for plane in frame.planes:
        plane.update(b"\x80" * plane.buffer_size)
    frame.pts = 0
    context.encode(frame)
    context.encode(None)
