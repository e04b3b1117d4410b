"""Cameras and streams on the network, which FFmpeg reads: RTSP, HTTP, SRT and RTMP."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from urllib.parse import urlsplit

from ..core.camera_url import PORT_FAULT, CameraUrl
from ..core.faults import FaultReason
from ..core.host_names import unresolved
from . import tls
from .base import WAYS, Connection, ConnectionSettings, SourceLostError
from .login_kinds import unknown_login

# What a source may open in turn. An HLS play list on the network must not read a local file, for instance.
PROTOCOLS = {
    "rtsp": "rtsp,rtp,tcp,udp",
    "rtsps": "rtsps,rtsp,rtp,tcp,udp,tls",
    "http": "http,https,tcp,tls,crypto",
    "https": "https,http,tcp,tls,crypto",
    "rtmp": "rtmp,rtmpt,tcp,http,ffrtmphttp",
    "rtmps": "rtmps,tcp,tls",
    "srt": "srt",
}

# Frame-rate probing makes FFmpeg hold a live stream back for a second at the start: 1.13 s instead of 0.32 s
# until the first frame of a 25 fps camera. The parameter sets are still waited for.
OPTIONS = {"fpsprobesize": "0"}
# JPEGs one after the other bear no time of their own, so they get that of their arrival. What they are is known from
# the first; by default FFmpeg looks at 4 s of them.
BARE_JPEGS = {"analyzeduration": "0", "use_wallclock_as_timestamps": "1"}

ADVICE: Mapping[FaultReason, str] = {
    "refused": "Nothing accepts connections there. Is the camera on, and are address and port right?",
    "unauthorised": "It refuses user name or password: put them right in the url. "
    "It is tried rarely, since many cameras lock an account after a few failures.",
    "not_found": "The camera has no such stream: look at the url's path.",
    "timeout": "No answer. Is the camera on, and is the address right?",
    "stall": "It answered, but no pictures come any more. Look at its network, or restart it.",
    "end_of_stream": "The camera closed the connection. If it happens often, look at how many viewers it allows.",
    "decode": "What it sends cannot be decoded. Set its video to H.264 or H.265, and look at its network.",
    "unreachable": "There is no way to this address. Look at the network of this machine and of the camera.",
    "unsupported": "Its codec, protocol or transport is not to be had here. Set its video to H.264 or H.265.",
}


HTTP = ("http", "https")
# Seconds that a camera has to answer when it is asked once more what was wrong.
ASKS = 3.0
_NO_PARTS = (
    "; if it is an MP4, its index may stand at its end, and the server sends no parts of a file: move the index to "
    "the front with ffmpeg -i clip.mp4 -c copy -movflags +faststart new.mp4"
)
_NO_REDIRECT = "; a redirect is not followed where `ca` is given"
_NO_ANSWER = "; it answers neither a picture nor why not: open the address in a browser"
# What is behind an address that ends so is a playlist, whose pieces are fetched one by one.
_PLAYLISTS = (".m3u8", ".mpd")
_NO_PIECES: Mapping[FaultReason, str] = {
    "stall": ": its playlist does not grow, or its pieces cannot be had",
    "timeout": ": its playlist does not come, or its pieces cannot be had",
}
_NO_SRT = (
    "needs SRT, which PyAV's ready-made package lacks; let a server such as mediamtx or go2rtc take the stream in "
    "and name its rtsp:// address here, or build PyAV against an FFmpeg with libsrt (pip install --no-binary av av)"
)
# A login that is followed by no host: its variable was empty.
_ONLY_LOGIN = re.compile(r"[^:]+://[^/?#]*@(?=[/?#:]|$)(?!.*@)")


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address, to be read after it; None if nothing is."""
    if not re.match(r"[^:]+://[^/?#]", url.reveal()) or _ONLY_LOGIN.match(url.reveal()):
        return f"has no host; {WAYS}"
    if not url.port_is_usable:
        return f"has {PORT_FAULT}"
    return _NO_SRT if url.scheme == "srt" and not reads_srt() else None


@cache
def reads_srt() -> bool:
    """Whether PyAV's FFmpeg has SRT. PyAV is imported for that, so ask only about an ``srt://`` address."""
    from ..media.ffmpeg import reads_protocol

    return reads_protocol("srt")


@contextmanager
def open_source(url: CameraUrl, settings: ConnectionSettings) -> Iterator[Connection]:
    """A context manager that connects to ``url``. Raises SourceLostError, and puts that of its body into words."""
    from .rtsp import open_rtsp
    from .snapshots import open_snapshots

    options = {"protocol_whitelist": PROTOCOLS[url.scheme], **tls.options(settings.ca)}
    opened = False
    with ExitStack() as stack:
        try:
            if url.scheme in ("rtsp", "rtsps"):
                connection = open_rtsp(url, OPTIONS | options, settings, stack)
            elif settings.every_s is not None:
                connection = stack.enter_context(open_snapshots(url, options, settings))
            else:
                connection = _open(url, OPTIONS | options, settings, stack)
            opened = True
            yield connection
        except SourceLostError as lost:
            if url.scheme in HTTP and lost.reason in _NO_PIECES and _is_playlist(url):
                raise SourceLostError(lost.reason, lost.detail + _NO_PIECES[lost.reason]) from None
            if lost.reason == "unauthorised" and (unknown := unknown_login(url, within=ASKS)) is not None:
                raise SourceLostError("unauthorised", unknown) from None
            if getattr(lost.cause, "errno", None) != errno.EIO:
                raise
            # FFmpeg calls the end of a stream whose length was not told so, too.
            if opened and url.scheme in HTTP and connection.clock_watch is not None:
                raise SourceLostError("end_of_stream", "the source ended it") from None
            raise _told(lost, url, settings) from None


def _is_playlist(url: CameraUrl) -> bool:
    return urlsplit(url.reveal()).path.lower().endswith(_PLAYLISTS)


def _told(lost: SourceLostError, url: CameraUrl, settings: ConnectionSettings) -> SourceLostError:
    """What FFmpeg calls an input/output error: an unknown name, a wrong certificate, a clip that cannot be read."""
    unknown = unresolved(url)
    if unknown is not None:
        return SourceLostError("unreachable", unknown)
    wrong = tls.tls_fault(url, settings.ca, within=ASKS) if url.scheme in tls.ENCRYPTED else None
    if wrong is not None:
        return SourceLostError("failed", wrong)
    if url.scheme not in HTTP:
        return lost
    why = _NO_PARTS if settings.every_s is None else _NO_ANSWER
    return SourceLostError(lost.reason, lost.detail + why + ("" if settings.ca is None else _NO_REDIRECT))


def _open(
    url: CameraUrl, options: Mapping[str, str], settings: ConnectionSettings, stack: ExitStack
) -> Connection:
    """Open what is no RTSP. Over HTTP there may be a clip, which has an end and then plays at its own pace."""
    from .connection import open_connection

    http = url.scheme in HTTP
    opening = open_connection(url.reveal(), options=options, live=None if http else True, settings=settings)
    try:
        return stack.enter_context(opening)
    except SourceLostError as lost:
        if not http or lost.reason != "decode" or lost.nvdec:
            raise
        first = lost
    # JPEGs in a multipart stream that does not begin with its boundary, whose parts have another length or type than
    # it says, or such. FFmpeg's reader of bare JPEGs passes over whatever stands between them.
    opening = open_connection(
        url.reveal(),
        container_format="mjpeg",
        options={**options, **BARE_JPEGS},
        live=True,
        settings=settings,
    )
    try:
        connection = stack.enter_context(opening)
    except SourceLostError:
        raise first from None
    if 0 in connection.size:
        raise first  # there is no JPEG in it either
    return connection
