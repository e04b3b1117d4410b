"""How a camera's RTP packets come: through its RTSP connection (TCP), or beside it (UDP)."""

from __future__ import annotations

from typing import Literal, get_args

Transport = Literal["tcp", "udp"]
TransportChoice = Literal["auto", "tcp", "udp"]


class RtpTransport:
    """What a camera's entry says of the transport, and which one has worked, for as long as its reader lives.

    Over TCP no packet is lost, so ``auto`` takes UDP only where the camera refuses TCP. It then begins with UDP the
    next time, too.

    Args:
        choice: the entry's ``transport``.
    """

    def __init__(self, choice: TransportChoice = "auto") -> None:
        self.choice = choice
        self._first: Transport = "tcp"

    @property
    def order(self) -> tuple[Transport, ...]:
        """The transports to ask for, one after the other while they are refused."""
        if self.choice != "auto":
            return (self.choice,)
        return (self._first, *(one for one in get_args(Transport) if one != self._first))

    def worked(self, transport: Transport) -> None:
        """The camera takes ``transport``."""
        self._first = transport
