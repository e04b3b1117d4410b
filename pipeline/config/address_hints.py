"""What was probably meant by an address that is neither a file nor a URL: one without its scheme, a Windows path."""

from __future__ import annotations

import ipaddress
import re

from ..core.camera_url import MASK, CameraUrl
from .fields import SOURCES

_SCHEMES = "|".join(SOURCES)
# rtsp:/host, rtsp:host, rtsp//host and rtsp:\\host, but not rtsp:///path.
_BROKEN_SCHEME = re.compile(rf"({_SCHEMES})(?::/?|//|:\\+)(?=[^/\\])(.*)", re.IGNORECASE | re.DOTALL)
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/].*|\\\\.*", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:/?#\[\]\s\\]+)(?::(?P<port>\d{1,5}))?")
_PORT_SCHEMES = {"80": "http", "8080": "http", "443": "https", "8443": "https", "1935": "rtmp"}
_LOCAL_NAMES = (".local", ".lan", ".home", ".internal")
_PICTURE_FILES = (
    ".mp4",
    ".mkv",
    ".avi",
    ".mov",
    ".ts",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".png",
    ".jpg",
    ".flv",
)


def address_hint(written: str) -> str | None:
    """What is wrong with an address that was refused, and how to write it; None if it looks like no other.

    Args:
        written: the address as it stands in the file. Secrets in it are masked in what is returned.
    """
    if _WINDOWS_PATH.fullmatch(written):
        return f"is a path of Windows; write it as it is named on this machine{_mounted(written)}"
    if "://" in written:
        scheme, _, rest = written.partition("://")
        _, at, address = rest.rpartition("@")
        bracketed = _bracketed(address)
        if bracketed is None:
            return None
        return f"needs brackets around its IPv6 address; write {_shown(scheme, at, bracketed)}"
    broken = _BROKEN_SCHEME.fullmatch(written)
    if broken:
        _, at, address = broken[2].rpartition("@")
        return f"needs :// after its scheme; write {_shown(broken[1].lower(), at, address)}"
    _, at, address = written.removeprefix("//").rpartition("@")
    address = _bracketed(address) or address
    found = _HOST.match(address)
    if not found or (not at and not _is_host(found["host"], found["port"], address)):
        return None
    if address[found.end() : found.end() + 1] not in ("", "/", "?", "#"):
        return None
    scheme = _PORT_SCHEMES.get(found["port"] or "", "http" if found["host"].startswith("www.") else "rtsp")
    return f"is neither a file nor a whole address; write {_shown(scheme, at, address)}"


def _shown(scheme: str, at: str, address: str) -> str:
    """The whole address, a login before the ``@`` and all other secrets masked."""
    return str(CameraUrl(f"{scheme}://{address}")).replace("://", f"://{MASK}@" if at else "://", 1)


def _is_host(host: str, port: str | None, address: str) -> bool:
    """Whether what stands before the first slash is a machine rather than a folder or a file."""
    if host.startswith("[") or host.lower() == "localhost" or port is not None:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return True
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*(\.[\w-]+)*\.[A-Za-z][\w-]+", host):
        return False
    if address == host:  # it may as well be a file's name
        return host.startswith("www.") or host.endswith(_LOCAL_NAMES)
    return not re.split(r"[?#]", address, maxsplit=1)[0].lower().endswith(_PICTURE_FILES)


def _bracketed(address: str) -> str | None:
    """``address`` with brackets around the bare IPv6 address it begins with; None if there is none."""
    host = re.split(r"[/?#]", address, maxsplit=1)[0]
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return None
    return f"[{host}]{address[len(host) :]}"


def _mounted(path: str) -> str:
    """For a path with a drive's letter, where WSL has it."""
    drive = re.fullmatch(r"([A-Za-z]):[\\/]+(.*)", path, re.DOTALL)
    if not drive:
        return ""
    below = re.sub(r"[\\/]+", "/", drive[2])
    return f", e.g. /mnt/{drive[1].lower()}/{below}"
