"""Recording to MP4 files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.backoff import Backoff
from ...core.camera_url import CameraUrl
from ..module import H264_H265, MP4_SOUNDS, OutputSettings

if TYPE_CHECKING:
    from ...core.faults import OutputReason
    from ..writer import Writer

address_form = "a path ending in .mp4 (strftime codes allowed)"
advice: Mapping[OutputReason, str] = {
    "not_found": "There is no such place: look at the path.",
    "timeout": "The disk does not answer.",
    "stall": "The disk does not take the pictures.",
    "disk_full": "The disk is full. Make room, or set retention; recording then resumes by itself.",
    "read_only": "The file system is read-only.",
    "denied": "Not permitted: look at the folder's owner and permissions.",
    "disk_error": "The disk reports errors.",
}
# Trying a folder again costs little, and recording is to resume soon after somebody has put it right.
backoff = Backoff(cap=5.0)
sounds = MP4_SOUNDS
codecs = H264_H265


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the path of a recording; None if nothing is."""
    if url.path.suffix != ".mp4":
        return "a file output must end in .mp4"
    if re.match(r"file:", url.reveal(), re.IGNORECASE):
        return "write the path without file:, its % codes are the time's"
    return None


def folder(url: CameraUrl) -> Path:
    """The folder that it writes to, strftime codes and all."""
    return url.path.parent


def make_writer(url: CameraUrl, settings: OutputSettings) -> Writer:
    """A writer of files named by the template ``url``."""
    from .retention import Retention
    from .writer import SegmentWriter

    ledger = None
    if settings.signing_key is not None:
        from .provenance.ledger import Ledger

        ledger = Ledger(
            template=url.path,
            camera=settings.camera,
            view=settings.encoder.encoding.view,
            key=settings.signing_key,
            content_credentials=settings.content_credentials,
            publish=settings.publish,
        )
    retention = None
    if settings.retention is not None:
        retention = Retention(
            template=url.path,
            limits=settings.retention,
            camera=settings.camera,
            publish=settings.publish,
            clock=settings.clock,
            forget=ledger.forget if ledger is not None else lambda path: None,
        )
    return SegmentWriter(
        template=str(url.path),
        segment_seconds=settings.segment_seconds,
        generated=settings.generated,
        encoder=settings.encoder,
        retention=retention,
        ledger=ledger,
        camera=settings.camera,
        publish=settings.publish,
        epoch=settings.epoch,
    )
