"""Which kind of login a camera wants, asked of peers that speak HTTP and RTSP."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.sources.login_kinds import unknown_login

PASSWORD = "Tr0ub4dor"


@contextmanager
def peer(answer: str) -> Iterator[tuple[int, list[str]]]:
    """The port of one that answers each request with ``answer``, and what it was asked."""
    asked = list[str]()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while (line := self.rfile.readline().decode()).strip():
                asked.append(line.strip())
            self.wfile.write(answer.replace("\n", "\r\n").encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()


@pytest.mark.parametrize("protocol", ["RTSP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize(
    ("challenges", "named"),
    [
        (['Digest realm="a", nonce="b", algorithm=SHA-256'], "digest with SHA-256,"),
        (['Digest realm="a", algorithm="SHA-256"', 'NTLM realm="b"'], "digest with SHA-256 or NTLM,"),
        (['Digest realm="a", nonce="b", algorithm=SHA-256', 'Digest realm="a", nonce="b"'], None),
        (['Digest realm="a", nonce="b", algorithm=md5'], None),
        (['Basic realm="a"'], None),
        ([], None),
    ],
)
def test_what_ffmpeg_does_not_know_is_named(protocol: str, challenges: list[str], named: str | None) -> None:
    lines = "".join(f"WWW-Authenticate: {challenge}\n" for challenge in challenges)
    scheme = protocol.partition("/")[0].lower()
    with peer(f"{protocol} 401 Unauthorized\nCSeq: 1\n{lines}\n") as (port, asked):
        said = unknown_login(CameraUrl(f"{scheme}://viewer:{PASSWORD}@127.0.0.1:{port}/a?b=1"), within=5.0)
    assert (said is None) == (named is None)
    assert said is None or said.startswith(f"it wants a login by {named} which FFmpeg does not know: ")
    assert "/a?b=1" in asked[0]
    assert PASSWORD not in str(asked)


def test_a_peer_that_talks_nonsense_or_is_gone_is_no_reason() -> None:
    with peer("nonsense\n\n") as (port, _):
        url = CameraUrl(f"http://127.0.0.1:{port}/")
        assert unknown_login(url, within=5.0) is None
    assert unknown_login(url, within=1.0) is None
