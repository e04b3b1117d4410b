"""Telling systemd how the service is: ready, reloading, stopping, and alive (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

# Seconds for systemd to have room for a change of state. A sign of life is not waited for.
SEND_WITHIN = 1.0


class Notifier:
    """Sends to ``$NOTIFY_SOCKET``; does nothing where there is none, as outside systemd. Never raises for that."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_every = _watchdog_every(environment)
        """Seconds between the signs of life to give, half of what the unit's WatchdogSec allows; None for none."""

    def ready(self) -> None:
        """The service is up, or has reloaded."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service is ending."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1", within=0)

    def _send(self, message: str, *, within: float = SEND_WITHIN) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(within)
                connection.sendto(message.encode(), self._address)
        except OSError:
            pass  # systemd's own watchdog is what notices


def _watchdog_every(environment: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        meant = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except ValueError:
        return None
    return microseconds / 2e6 if meant and microseconds > 0 else None
