"""What decodes a camera's pictures, as its entry says it. Light to import, for the configuration's check."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from ..core.camera_url import CameraUrl
from ..core.events import Notice

DecoderChoice = Literal["auto", "gstreamer"]
DecoderName = Literal["nvdec", "gstreamer", "software"]

NO_GSTREAMER = (
    "needs GStreamer's Python bindings, which are missing here; apt-get install python3-gi "
    "gir1.2-gst-plugins-base-1.0, and make the virtual environment with --system-site-packages; or leave decoder out"
)


def decoder_fault(choice: DecoderChoice, url: CameraUrl) -> str | None:
    """What is wrong with the choice, to be read after it; None if nothing is."""
    if choice == "auto":
        return None
    if url.scheme not in ("rtsp", "rtsps"):
        return "is for cameras at an rtsp:// or rtsps:// address; leave decoder out"
    return NO_GSTREAMER if find_spec("gi") is None else None


def nvdec_missing(camera: str, why: str) -> Notice:
    """The event that says that the CPU decodes although the GPU was to."""
    detail = f"NVDEC does not decode here ({why}); the CPU decodes"
    return Notice(camera=camera, name="nvdec_missing", detail=detail, level="warning")
