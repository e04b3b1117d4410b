"""Whether an encrypted camera is the one that it says it is: its certificate, checked where the user gives one."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ..core.camera_url import CameraUrl

ENCRYPTED = {"https": 443, "rtsps": 322, "rtmps": 443}
"""The schemes of sources that go encrypted, with the port of each."""
# FFmpeg hands neither option on to the pieces of a playlist, so those would come unchecked.
UNCHECKED_PIECES = (
    "FFmpeg checks no certificate of a playlist's pieces, so `ca` cannot be kept to; leave it out, or read the "
    "camera by rtsps:// or by an https:// address that is no playlist"
)


def ca_fault(url: CameraUrl) -> str | None:
    """Why no certificate can be checked at this address, to be read after ``ca``; None if it can."""
    if url.scheme in ENCRYPTED:
        return None
    return "is for a camera whose address begins with " + ", ".join(f"{scheme}://" for scheme in ENCRYPTED)


def options(ca: Path | None) -> dict[str, str]:
    """FFmpeg's, to have the peer's certificate checked by the authority in ``ca`` (PEM); None: by nobody.

    A redirect is not followed then, since it may lead to an address that is not encrypted.
    """
    return {} if ca is None else {"tls_verify": "1", "ca_file": str(ca), "max_redirects": "0"}


def tls_fault(url: CameraUrl, ca: Path | None, *, within: float) -> str | None:
    """Why no encrypted connection comes about, by one of its own; None if it does, or nobody answers.

    Args:
        url: an address of a scheme in ``ENCRYPTED``.
        ca: the authority's certificate, or the camera's own (PEM); None: any certificate will do.
        within: seconds that connecting, and each answer, may take.
    """
    parts = urlsplit(url.reveal())
    try:
        with connected(parts, within=within, context=any_certificate() if ca is None else _by(ca)):
            return None
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.rstrip(".")
        return (
            f"its certificate does not pass with {ca} ({why}); `ca` wants the one that it shows, or of who signed "
            "that, and the url the name or address that stands in it; to see it: openssl s_client -connect "
            f"{parts.hostname}:{parts.port or ENCRYPTED[url.scheme]}"
        )
    except ssl.SSLError as error:
        plain = url.scheme.removesuffix("s")
        return (
            f"it does not answer by TLS ({error.reason or 'it hangs up'}); if it does not encrypt there, the address "
            f"begins with {plain}://"
        )
    except (OSError, ValueError):
        return None


def any_certificate() -> ssl.SSLContext:
    """For an encrypted connection to anybody."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _by(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


def connected(parts: SplitResult, *, within: float, context: ssl.SSLContext | None) -> socket.socket:
    """A connection to an address, encrypted where there is a ``context``. Raises OSError and ValueError."""
    port = parts.port or {"http": 80, "rtsp": 554, **ENCRYPTED}[parts.scheme.lower()]
    plain = socket.create_connection((parts.hostname or "", port), within)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=parts.hostname)
    except BaseException:
        plain.close()
        raise
