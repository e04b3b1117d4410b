"""MPEG-TS over UDP, to one receiver or to a multicast group.

Python owns the socket, as for RTSP: a send then holds up no other thread, and it has a time limit. The socket is not
connected, since a connected one reports the receivers that are not there as errors.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from ..core.backoff import Backoff
from ..core.camera_url import CameraUrl
from ..core.faults import OutputError
from ..core.host_names import not_resolved
from .module import H264_H265, TS_SOUNDS, OutputSettings

if TYPE_CHECKING:
    from ..core.faults import OutputReason
    from ..core.frame import Picture
    from .encoding.shared_encoder import EncodedPicture, EncoderClient
    from .writer import Writer

address_form = "udp://host:1234"
advice: Mapping[OutputReason, str] = {
    "timeout": "This machine's network does not take the pictures: look at its connection.",
    "stall": "This machine's network does not take the pictures: look at its connection.",
    "unreachable": "There is no way to this address. Look at the network; a multicast group needs a route.",
    "denied": "This machine does not permit sending there: look at its firewall, and do not use a broadcast address.",
}
backoff = Backoff()
sounds = TS_SOUNDS
codecs = H264_H265

TS_PACKET = 188  # bytes
# Bytes of a datagram: seven TS packets, the most that fit into an Ethernet frame.
DATAGRAM = 7 * TS_PACKET
# The largest multiple of a TS packet that fits into a UDP datagram.
LARGEST_DATAGRAM = 65_507 // TS_PACKET * TS_PACKET
# Seconds for the network card to take a datagram.
SEND_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where datagrams go.

    Attributes:
        host: name or address.
        port: 1 to 65535.
        ttl: how many routers may pass on a datagram to a multicast group, plus one; 1 stays in the local network.
        datagram: bytes of a datagram, a multiple of 188.
    """

    host: str
    port: int
    ttl: int = 1
    datagram: int = DATAGRAM


def fault(url: CameraUrl) -> str | None:
    """What is wrong with the address of a receiver; None if nothing is."""
    try:
        target_of(url)
    except ValueError as error:
        return str(error)
    return None


def folder(url: CameraUrl) -> None:
    """It writes no files."""


def make_writer(url: CameraUrl, settings: OutputSettings) -> Writer:
    """A writer that sends to ``url``."""
    from .encoding.encoder import title_of
    from .encoding.shared_encoder import EncoderClient

    title = title_of(generated=settings.generated)
    return UdpWriter(target=target_of(url), encoder=EncoderClient(settings.encoder), title=title)


def target_of(url: CameraUrl) -> Target:
    """What an address says. Raises ValueError with what is wrong with it and the way out."""
    try:
        address = urlsplit(url.reveal())
        host = address.hostname
    except ValueError:
        raise ValueError(f"its host cannot be read; use {address_form}") from None
    if not host:
        raise ValueError(f"no host; use {address_form}")
    if not url.port_is_usable or address.port is None:
        raise ValueError(
            f"has no usable port after the host; give a number from 1 to 65535, as in {address_form}"
        )
    if "@" in address.netloc or address.path.strip("/") or address.fragment:
        raise ValueError(f"UDP has no login and no path; use {address_form}")
    options = {"ttl": 1, "pkt_size": DATAGRAM}
    for name, text in parse_qsl(address.query, keep_blank_values=True):
        if name not in options:
            raise ValueError(f"{name!r} is not an option of UDP here; use ttl or pkt_size, or leave it out")
        # isascii: isdigit alone is true of digits that int() does not read.
        options[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if not 1 <= options["ttl"] <= 255:
        raise ValueError("ttl must be a number from 1 to 255")
    if options["pkt_size"] % TS_PACKET or not TS_PACKET <= options["pkt_size"] <= LARGEST_DATAGRAM:
        raise ValueError(
            f"pkt_size must be a multiple of {TS_PACKET} up to {LARGEST_DATAGRAM}, such as {DATAGRAM}"
        )
    return Target(host, address.port, ttl=options["ttl"], datagram=options["pkt_size"])


class UdpWriter:
    """Sends pictures as an MPEG-TS stream; looks up the host at the first picture.

    PTS equal the frames' own, in ticks of 1/90000 s and modulo 2³³ as MPEG-TS has them. The tables of the stream come
    about every 0.1 s and the parameter sets with each key frame, so that a receiver may join at any time. A picture
    of another size or time base begins a new stream on the same port. Nobody learns whether anything arrives.

    Args:
        target: where to.
        encoder: this output's use of the camera's encoder.
        title: the name of the service that the stream carries.
    """

    def __init__(self, *, target: Target, encoder: EncoderClient, title: str) -> None:
        self._target = target
        self._encoder = encoder
        self._title = title
        self._open: _Stream | None = None

    def write(self, picture: Picture) -> None:
        """Send one picture. Raises PictureSkipped before its first key frame, OSError or PyAV's errors."""
        encoded = self._encoder.encode(picture, begins=self._open is None)
        if self._open is not None and not self._open.accepts(encoded):
            self.close()
        if self._open is None:
            self._open = _Stream(self._target, encoded, title=self._title)
        self._open.send(encoded)

    def idle(self, seconds: float) -> None:
        """Nothing is to be done while no picture comes."""

    def close(self) -> None:
        """End the stream, if there is one."""
        stream, self._open = self._open, None
        if stream is not None:
            stream.close()


class _Stream:
    """One stream. FFmpeg makes its TS packets, and Python sends them."""

    def __init__(self, target: Target, first: EncodedPicture, *, title: str) -> None:
        from .mpeg_ts import TsMuxer

        self._datagram = target.datagram
        self._muxer = TsMuxer(first, title=title)
        self.socket, self._address = _open_socket(target)

    def accepts(self, encoded: EncodedPicture) -> bool:
        """Whether ``encoded`` belongs to the stream that the first picture began."""
        return self._muxer.accepts(encoded)

    def send(self, encoded: EncodedPicture) -> None:
        """Send one picture."""
        self._send(self._muxer.mux(encoded))

    def close(self) -> None:
        """Send what waits, and end."""
        try:
            self._send(self._muxer.end())
        finally:
            self.socket.close()

    def _send(self, data: bytes) -> None:
        for start in range(0, len(data), self._datagram):
            self.socket.sendto(data[start : start + self._datagram], self._address)


def _open_socket(target: Target) -> tuple[socket.socket, tuple[Any, ...]]:
    """A socket for ``target``, and the address to send to. Raises OutputError and OSError."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as error:
        raise OutputError("unreachable", not_resolved(target.host, error)) from None
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.settimeout(SEND_TIMEOUT)
        if ipaddress.ip_address(str(address[0]).partition("%")[0]).is_multicast:
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, target.ttl)
            else:
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, target.ttl)
    except BaseException:
        opened.close()
        raise
    return opened, address
