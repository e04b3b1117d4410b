"""HLS: a playlist and its segments in a folder, which any web server may serve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.backoff import Backoff
from ...core.camera_url import CameraUrl
from ..module import H264, HLS_SOUNDS, OutputSettings

if TYPE_CHECKING:
    from ...core.faults import OutputReason
    from ..writer import Writer

address_form = "hls: and a path ending in .m3u8"
advice: Mapping[OutputReason, str] = {
    "not_found": "There is no such place: look at the path.",
    "timeout": "The disk does not answer.",
    "stall": "The disk does not take the pictures.",
    "disk_full": "The disk is full. Make room, or give the output a shorter window; it then resumes by itself.",
    "read_only": "The file system is read-only.",
    "denied": "Not permitted: look at the folder's owner and permissions.",
    "disk_error": "The disk reports errors.",
}
backoff = Backoff(cap=5.0)
sounds = HLS_SOUNDS
codecs = H264


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the path of a playlist; None if nothing is."""
    path = playlist_path(url)
    if path.suffix != ".m3u8" or not path.stem:
        return "the playlist must end in .m3u8, as in hls:out/live.m3u8"
    if "%" in str(path):
        return "holds a %, which stands for nothing in the name of a playlist"
    if str(path).startswith("//"):
        return "is a path and no address; write hls:/srv/live.m3u8 or hls:out/live.m3u8"
    return None


def folder(url: CameraUrl) -> Path:
    """The folder that it writes to."""
    return playlist_path(url).parent


def make_writer(url: CameraUrl, settings: OutputSettings) -> Writer:
    """A writer of the playlist ``url`` and the segments beside it."""
    from ..encoding.shared_encoder import EncoderClient
    from .writer import HlsWriter

    return HlsWriter(
        playlist=playlist_path(url),
        window=settings.window,
        generated=settings.generated,
        encoder=EncoderClient(settings.encoder),
        camera=settings.camera,
        publish=settings.publish,
    )


def playlist_path(url: CameraUrl) -> Path:
    """Where the playlist is."""
    return Path(url.reveal().partition(":")[2])
