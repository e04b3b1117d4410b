"""Restreaming: RTSP RECORD over TCP to a media server."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import av
from av.container import OutputContainer

from pipeline.encode import NOTE, Encoder, even_size
from pipeline.frame import Picture
from pipeline.urls import CameraUrl

CONNECT_TIMEOUT = 3.0  # seconds for the server to answer a first question
IO_TIMEOUT = 3.0  # seconds one read or write of an open connection may take


class RestreamWriter:
    """Announces a stream to an RTSP server and records pictures to it; connects at the first picture.

    PTS go out as RTP timestamps and keep their distances. A picture of another size or time base announces
    the stream anew. Raises OSError or PyAV's errors from ``write``; call ``close`` then and write again to
    reconnect. It may block for ``CONNECT_TIMEOUT`` plus ``IO_TIMEOUT`` seconds.

    Args:
        url: ``rtsp://`` address, its login included.
        generated: whether generated pictures may be among them; the stream's title then says how to tell.
        preset: x264's.
    """

    def __init__(self, *, url: CameraUrl, generated: bool = True, preset: str = "veryfast") -> None:
        self._url = url
        self._generated = generated
        self._preset = preset
        self._container: OutputContainer | None = None
        self._encoder: Encoder | None = None
        self._format: object = None

    def write(self, picture: Picture) -> None:
        """Send one picture, connecting first where needed."""
        wanted = (even_size(picture), picture.frame.time_base)
        if self._encoder is not None and wanted != self._format:
            self.close()
        if self._encoder is None:
            self._connect(picture)
            self._format = wanted
        assert self._encoder is not None
        self._encoder.write(picture)

    def close(self) -> None:
        """End the stream and the connection, if any."""
        container, self._container, self._encoder = self._container, None, None
        if container is not None:
            container.close()

    def _connect(self, picture: Picture) -> None:
        # PyAV holds the interpreter's lock while FFmpeg shakes hands, so a server that takes connections but does
        # not answer would stop every camera for the length of the timeout. Hence a question of our own first.
        ask_rtsp(self._url, timeout=CONNECT_TIMEOUT)
        options = {"rtsp_transport": "tcp", "timeout": str(round(IO_TIMEOUT * 1e6))}
        self._container = av.open(self._url.reveal(), "w", format="rtsp", container_options=options)
        if self._generated:
            self._container.metadata["title"] = NOTE
        self._encoder = Encoder(self._container, picture, preset=self._preset)


def ask_rtsp(url: CameraUrl, *, timeout: float) -> None:
    """Check that an RTSP server answers at ``url``'s host and port. Raises OSError if not within ``timeout`` s."""
    parts = urlsplit(url.reveal())
    host, port = parts.hostname or "", parts.port or 554
    shown = f"[{host}]" if ":" in host else host
    with socket.create_connection((host, port), timeout=timeout) as connection:
        connection.settimeout(timeout)
        connection.sendall(f"OPTIONS rtsp://{shown}:{port}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        if not connection.recv(64).startswith(b"RTSP/"):
            raise ConnectionRefusedError("what answers there is no RTSP server")
