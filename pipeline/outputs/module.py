"""What the module of one kind of output offers, and what its writers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..core.backoff import Backoff
    from ..core.camera_url import CameraUrl
    from ..core.clock import Clock
    from ..core.events import Publish
    from ..core.faults import OutputReason
    from .encoding.shared_encoder import SharedEncoder
    from .mp4.limits import Limits
    from .writer import Writer


WINDOW = 60.0
"""Seconds of a live stream that stay on the disk, unless an output says otherwise."""

MP4_SOUNDS = frozenset({"aac", "mp3", "opus", "ac3", "eac3", "flac"})
HLS_SOUNDS = frozenset({"aac", "mp3", "ac3", "eac3"})
TS_SOUNDS = frozenset({"aac", "mp3", "mp2", "ac3", "eac3"})
NO_SOUNDS: frozenset[str] = frozenset()
"""Codecs of sound, by FFmpeg's names, that containers hold and players of them play."""


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
        sounds: the codecs of sound that it passes on.
    """

    address_form: str
    advice: Mapping[OutputReason, str]
    backoff: Backoff
    sounds: frozenset[str]

    def fault(self, url: CameraUrl) -> str | None:
        """What is wrong with an address and how to put it right, without the address; None if nothing is."""
        ...

    def folder(self, url: CameraUrl) -> Path | None:
        """The folder it writes to, strftime codes and all; None if it writes no files."""
        ...

    def make_writer(self, url: CameraUrl, settings: OutputSettings) -> Writer:
        """A writer for ``url``, which has no fault. It opens nothing before the first picture."""
        ...
