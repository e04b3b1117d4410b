"""A camera that serves HLS on loopback: pieces of MPEG-TS, a playlist that grows by the clock, and their troubles."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

from tests.support.http_streams import pictures_of_a_stream
from tests.support.ports import lasting_port

Trouble = Literal["none", "stands still", "no pieces", "silent"]


class HlsServer:
    """Serves ``/live.m3u8``; a context manager, which can be entered again at the same port.

    Args:
        piece_seconds: how long a piece is.
        rate: pictures a second.
        part_seconds: low latency: pieces come in parts of this length (EXT-X-PART); 0 for whole pieces alone.

    ``trouble``: "none"; "stands still": the playlist grows no more, and is still answered with 200;
    "no pieces": pieces and parts are answered with 404; "silent": nothing is answered.
    """

    def __init__(
        self,
        *,
        piece_seconds: float = 1.0,
        rate: int = 10,
        part_seconds: float = 0.0,
    ) -> None:
        self.trouble: Trouble = "none"
        self.port = lasting_port()
        self._seconds, self._part, self._rate = piece_seconds, part_seconds, rate
        self._pictures = pictures_of_a_stream(rate, 60 * rate)
        self._began = time.monotonic() - 10 * piece_seconds
        self._frozen = 0.0
        self._over = threading.Event()
        self.asked: list[str] = []
        self._clients = set[socket.socket]()

    def __enter__(self) -> HlsServer:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                camera._clients.add(self.connection)

            def finish(self) -> None:
                camera._clients.discard(self.connection)
                super().finish()

            def do_GET(self) -> None:
                camera.asked.append(self.path)
                if camera.trouble == "silent":
                    camera._over.wait(30)
                    return
                body = camera._body(self.path.partition("?")[0])
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                with suppress(OSError):  # the client has gone
                    self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        self._over.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Be gone, with all connections, as a machine that loses its power."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        """The playlist's address."""
        return f"http://127.0.0.1:{self.port}/live.m3u8"

    def begin_trouble(self, trouble: Trouble) -> None:
        """From now on there is ``trouble``."""
        self._frozen = self._now()
        self.trouble = trouble

    def restart(self) -> None:
        """Begin anew with other pictures, with media sequence 0 and time stamps from the start, as after a reboot."""
        self._pictures = pictures_of_a_stream(self._rate, 60 * self._rate, dark=25)
        self._began = time.monotonic() - self._seconds

    def _now(self) -> float:
        return self._frozen if self.trouble == "stands still" else time.monotonic() - self._began

    def _body(self, path: str) -> bytes | None:
        if path == "/live.m3u8":
            return self._playlist().encode()
        if self.trouble == "no pieces":
            return None
        first, count = path.strip("/").removesuffix(".ts").split("-")
        return b"".join(self._pictures[int(first) : int(first) + int(count)])

    def _playlist(self) -> str:
        whole = int(self._now() / self._seconds)
        pictures = round(self._rate * self._seconds)
        lines = ["#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{max(1, round(self._seconds))}"]
        if self._part:
            hold = 3 * self._part
            lines += [f"#EXT-X-PART-INF:PART-TARGET={self._part}"]
            lines += [f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={hold}"]
        oldest = max(0, whole - 5)
        lines += [f"#EXT-X-MEDIA-SEQUENCE:{oldest}"]
        for number in range(oldest, whole):
            if self._part and number >= whole - 2:
                lines += self._parts(number, round(self._seconds / self._part))
            lines += [f"#EXTINF:{self._seconds:.3f},", f"{number * pictures}-{pictures}.ts"]
        if self._part:
            lines += self._parts(whole, int((self._now() - whole * self._seconds) / self._part))
            lines += ['#EXT-X-PRELOAD-HINT:TYPE=PART,URI="next.ts"']
        return "\n".join(lines) + "\n"

    def _parts(self, piece: int, count: int) -> list[str]:
        pictures, step = round(self._rate * self._seconds), round(self._rate * self._part)
        return [
            f'#EXT-X-PART:DURATION={self._part:.3f},URI="{piece * pictures + step * part}-{step}.ts"'
            for part in range(count)
        ]
