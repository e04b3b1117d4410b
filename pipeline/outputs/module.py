"""What the module of one kind of output offers, and what its writers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..core.backoff import Backoff
    from ..core.camera_url import CameraUrl
    from ..core.clock import Clock
    from ..core.events import Publish
    from ..core.faults import OutputReason
    from ..core.sound import SoundFormat
    from .encoding.settings import VideoCodec
    from .encoding.shared_encoder import SharedEncoder
    from .mp4.limits import Limits
    from .writer import Writer


WINDOW = 60.0
"""Seconds of a live stream that stay on the disk, unless an output says otherwise."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """The sound that a container holds and players of it play.

    Attributes:
        container: its name, for messages.
        codecs: by FFmpeg's names.
        instead: what the camera may send where it sends something else.
        gaps: whether players show pictures on while no sound comes.
        only: the samples a second and the channels that some codecs must have.
    """

    container: str
    codecs: frozenset[str]
    instead: str = "AAC"
    gaps: bool = True
    only: Mapping[str, tuple[int, int]] = field(default_factory=dict, hash=False)

    def take(self, form: SoundFormat) -> bool:
        """Whether sound of this format goes along."""
        return form.codec in self.codecs and self.only.get(form.codec) in (None, (form.rate, form.channels))

    def fault(self, form: SoundFormat) -> str | None:
        """Why sound of this format does not go along, and the way out; None if it does."""
        if self.take(form):
            return None
        shown = form.codec
        if form.codec in self.codecs:
            shown += f" with {form.rate} Hz and {form.channels} channels"
        return (
            f"{self.container} does not hold sound of the codec {shown}; let the camera send {self.instead}"
        )


_G711 = frozenset({"pcm_alaw", "pcm_mulaw"})
MP4_SOUNDS = Sounds("MP4", frozenset({"aac", "mp3", "opus", "ac3", "eac3", "flac"}))
MEDIA_SOURCE_SOUNDS = Sounds(
    "a browser's Media Source", frozenset({"aac", "mp3", "opus", "flac"}), gaps=False
)
HLS_SOUNDS = Sounds("HLS", frozenset({"aac", "mp3", "ac3", "eac3"}), gaps=False)
TS_SOUNDS = Sounds("MPEG-TS", frozenset({"aac", "mp3", "mp2", "ac3", "eac3"}))
RTMP_SOUNDS = Sounds("RTMP", frozenset({"aac", "mp3"}))
RTSP_SOUNDS = Sounds("RTSP", frozenset({"aac", "opus", *_G711}), instead="AAC, Opus or G.711")
WEBRTC_SOUNDS = Sounds(
    "WebRTC",
    frozenset({"opus", *_G711}),
    instead="Opus, or G.711 with 8000 Hz and one channel",
    only=dict.fromkeys(_G711, (8000, 1)),
)
H264: frozenset[VideoCodec] = frozenset({"h264"})
H264_H265: frozenset[VideoCodec] = frozenset({"h264", "hevc"})
NO_SOUNDS = Sounds("this stream", frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    """What a camera's outputs have in common; a kind of output uses what concerns it.

    Attributes:
        camera: the camera's name.
        segment_seconds: length of a file.
        generated: whether generated pictures may come, which the output then notes in its metadata.
        window: seconds of a live stream that stay on the disk, as HLS keeps them.
        retention: how long files stay; None keeps them for ever.
        encoder: the output's encoder, shared with those that want the same.
        signing_key: the file of the key that recordings are signed with; None: they are not signed.
        content_credentials: whether signed recordings also get a manifest of C2PA.
        publish: told what happens.
        clock: time.
        epoch: that of the camera's lease, which recordings are named by; None outside clusters.
    """

    camera: str
    segment_seconds: float
    window: float
    generated: bool
    retention: Limits | None
    signing_key: Path | None
    content_credentials: bool
    encoder: SharedEncoder
    publish: Publish
    clock: Clock
    epoch: int | None = None


class OutputModule(Protocol):
    """What the module of one kind of output offers; the registry loads it when an address asks for it.

    Importing it must be quick: what needs PyAV or PyTorch is imported within ``make_writer``.

    Attributes:
        address_form: how its addresses are written, for messages.
        advice: what to do about an output that is not being written, by the reason. A reason without an entry has no
            advice.
        backoff: how long to wait between tries.
        sounds: the sound that it passes on.
        codecs: those of pictures that it holds and its players play.
    """

    address_form: str
    advice: Mapping[OutputReason, str]
    backoff: Backoff
    sounds: Sounds
    codecs: frozenset[VideoCodec]

    def fault(self, url: CameraUrl) -> str | None:
        """What is wrong with an address and how to put it right, without the address; None if nothing is."""
        ...

    def folder(self, url: CameraUrl) -> Path | None:
        """The folder it writes to, strftime codes and all; None if it writes no files."""
        ...

    def make_writer(self, url: CameraUrl, settings: OutputSettings) -> Writer:
        """A writer for ``url``, which has no fault. It opens nothing before the first picture."""
        ...
