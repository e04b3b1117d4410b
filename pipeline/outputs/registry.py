"""Which addresses outputs can have; imports nothing heavy, so that a configuration can be checked by it."""

from __future__ import annotations

import re

from ..core.camera_url import CameraUrl

NO_PORT = "no usable port after the host; give a number from 1 to 65535, or leave it out with its colon"
_LATER = ("rtmp", "rtmps", "srt", "http", "https", "whip", "hls")


def output_fault(output: CameraUrl | str) -> str | None:
    """What is wrong with an ``outputs`` entry, in one line without its secrets; None if nothing is."""
    url = CameraUrl(output) if isinstance(output, str) else output
    ways = "use a path ending in .mp4 (strftime codes allowed) or rtsp://host/path"
    if url.is_file:
        if url.path.suffix != ".mp4":
            return f"output {url}: a file output must end in .mp4; {ways}"
        if re.match(r"file:", url.reveal(), re.IGNORECASE):
            return f"output {url}: write the path without file:, its % codes are the time's; {ways}"
        return None
    if url.scheme == "rtsp":
        if not re.match(r"rtsp://[^/]", url.reveal(), re.IGNORECASE):
            return f"output {url}: no host; {ways}"
        return None if url.port_is_usable else f"output {url}: has {NO_PORT}"
    if url.scheme in _LATER:
        return f"output {url}: {url.scheme} outputs are not built in yet; {ways}"
    return f"output {url}: {url.scheme!r} is no output; {ways}"
