"""A TCP server for tests, with a thread for each connection."""

from __future__ import annotations

import abc
import socket
import threading
from typing import TypeVar

from tests.support.rtsp_server import WAIT

PeerT = TypeVar("PeerT", bound="TcpPeer")


class TcpPeer(abc.ABC):
    """Accepts connections while it is entered, and talks with each in a thread of its own.

    Args:
        listener: a socket that listens.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self.ended = threading.Event()
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self: PeerT) -> PeerT:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(WAIT)

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._talk, args=(connection,)))
            self._threads[-1].start()

    @abc.abstractmethod
    def _talk(self, connection: socket.socket) -> None:
        """Talk, and close the connection."""
