"""The RTSP client: its log-ins against the RFCs' own examples, what it sends, and what it takes."""

from __future__ import annotations

import base64
import re
import socket
import threading

import av
import pytest
from av.video.codeccontext import VideoCodecContext

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.faults import OutputError
from nightday.pipeline.outputs.encoding.encoder import Encoder
from nightday.pipeline.outputs.encoding.sps import parameter_sets
from nightday.pipeline.outputs.rtsp import client
from nightday.pipeline.outputs.rtsp.client import (
    RtspError,
    RtspRecording,
    describe,
    interleaved,
)
from tests.support.media_helpers import picture
from tests.support.rtsp_server import WAIT

PASSWORD = "pa:ss wörd"


class Server:
    """Answers one connection's requests with what it is told to, in order, and keeps them."""

    def __init__(self, *replies: str) -> None:
        self._replies = replies
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join(WAIT)
        self._listener.close()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            for reply in self._replies:
                self._keep(lines)
                connection.sendall(reply.encode("latin-1"))
            while self._keep(lines):
                pass

    def _keep(self, lines: object) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = lines.readline()  # type: ignore[attr-defined]
            if not line:
                return False
            head += line
        length = re.search(rb"Content-Length: (\d+)", head)
        body = lines.read(int(length[1])) if length else b""  # type: ignore[attr-defined]
        self.requests.append((head + body).decode())
        return True


def record(server: Server, login: str = "") -> RtspRecording:
    url = CameraUrl(f"rtsp://{login}127.0.0.1:{server.port}/live/day?key=1")
    return RtspRecording(url=url, sdp="v=0\r\n", timeout=5)


def header(request: str, name: str) -> str:
    return next(line.partition(": ")[2] for line in request.split("\r\n") if line.startswith(f"{name}: "))


OK = "RTSP/1.0 200 OK\r\n\r\n"
SETUP_OK = "RTSP/1.0 200 OK\r\nSession: ABC;timeout=60\r\nContent-Length: 3\r\n\r\nabc"
PACKET = "$\x00\x00\x05RTSP/"  # looks like a reply, but is a packet


def test_the_requests_and_the_session() -> None:
    with Server(OK, SETUP_OK, PACKET + OK) as server:
        recording = record(server)
        recording.close()
    assert [request.split()[0] for request in server.requests] == ["ANNOUNCE", "SETUP", "RECORD", "TEARDOWN"]
    assert [header(request, "CSeq") for request in server.requests] == ["1", "2", "3", "4"]
    base = f"rtsp://127.0.0.1:{server.port}/live/day?key=1"
    assert [request.split()[1] for request in server.requests] == [base, f"{base}/streamid=0", base, base]
    assert server.requests[0].endswith("\r\n\r\nv=0\r\n")
    assert all(header(request, "Session") == "ABC" for request in server.requests[2:])


@pytest.mark.parametrize(
    ("challenge", "answer"),
    [
        # RFC 2617, 3.5
        (
            'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'opaque="5ccc069c403ebaf9f0171e9517f40e41"',
            "6629fae49393a05397450978507c4ef1",
        ),
        # RFC 7616, 3.9.1
        (
            'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        (
            'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
            "8ca523f5e9506fed4657c9700eebdbec",
        ),
    ],
)
def test_digest_answers_are_those_of_the_rfcs(
    monkeypatch: pytest.MonkeyPatch, challenge: str, answer: str
) -> None:
    own = "0a4f113b" if "testrealm" in challenge else "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr("secrets.token_hex", lambda _count: own)
    known = client._challenge(challenge)
    assert known is not None
    password = "Circle Of Life" if "testrealm" in challenge else "Circle of Life"
    said = client._authorization(*known, ("Mufasa", password), "GET", "/dir/index.html")
    assert re.search(r'response="([0-9a-f]+)"', said)[1] == answer  # type: ignore[index]
    assert "opaque=" in said


def test_requests_are_counted_for_each_nonce() -> None:
    """RFC 7616, 3.4: a server may take a count that it has seen with the nonce for a replay."""

    def refusal(nonce: str) -> str:
        challenge = f'Digest realm="r", qop="auth", nonce="{nonce}"'
        return f"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n\r\n"

    with Server(refusal("a"), OK, refusal("a"), SETUP_OK, refusal("b"), OK) as server:
        record(server, f"viewer:{PASSWORD}@").close()
    said = [header(request, "Authorization") for request in server.requests[1:]]
    counts = [(re.search(r'nonce="(\w)"', each)[1], re.search(r"nc=(\w+)", each)[1]) for each in said]  # type: ignore[index]
    assert counts == [
        ("a", "00000001"),  # ANNOUNCE
        ("a", "00000002"),  # SETUP, refused with the same nonce
        ("a", "00000003"),
        ("a", "00000004"),  # RECORD, refused with another one
        ("b", "00000001"),
        ("b", "00000002"),  # TEARDOWN
    ]
    own = [re.search(r'cnonce="(\w+)"', each)[1] for each in said]  # type: ignore[index]
    assert len(set(own)) == len(own)


def test_a_digest_without_qop_is_that_of_rfc_2069() -> None:
    """Its own example is wrong (erratum 749); this is the reckoned one."""
    known = client._challenge('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    assert known is not None
    said = client._authorization(*known, ("Mufasa", "CircleOfLife"), "GET", "/dir/index.html")
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in said


def test_a_login_is_sent_only_when_asked_for_and_the_stronger_of_two_ways() -> None:
    refusal = (
        'RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm="r", nonce="n"\r\n'
        'WWW-Authenticate: Basic realm="r"\r\n\r\n'
    )
    with Server(refusal, OK, SETUP_OK, OK) as server:
        record(server, f"viewer:{PASSWORD}@").close()
    assert "Authorization" not in server.requests[0]
    assert all(header(request, "Authorization").startswith("Digest ") for request in server.requests[1:])
    assert all("wörd" not in request and "w%C3%B6rd" not in request for request in server.requests)


def test_a_plain_login_is_decoded_first() -> None:
    refusal = 'RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm="r"\r\n\r\n'
    with Server(refusal, OK, SETUP_OK, OK) as server:
        record(server, "viewer:a%40b:%2Fc@").close()
    sent = header(server.requests[1], "Authorization").removeprefix("Basic ")
    assert base64.b64decode(sent) == b"viewer:a@b:/c"


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        (['RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm="r"\r\n\r\n'] * 2, 401),
        (['RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="r"\r\n\r\n'], 401),
        (["RTSP/1.0 401 Unauthorized\r\n\r\n"], 401),
        ([OK, SETUP_OK, "RTSP/1.0 454 Session Not Found\r\n\r\n"], 454),
        (["RTSP/1.0 400 Bad Request\r\n\r\n"], 400),
        (["RTSP/1.0 OK\r\n\r\n"], 0),
        (["RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"], 0),
        (["RTSP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n"], 0),
        (["SSH-2.0-OpenSSH_9.2\r\n"], 0),
    ],
)
def test_refusals(replies: list[str], status: int) -> None:
    with Server(*replies) as server, pytest.raises(RtspError) as error:
        record(server, f"viewer:{PASSWORD}@")
    assert error.value.status == status
    assert "viewer" not in str(error.value)
    assert ("another program publishes to this path" in str(error.value)) == (status in (400, 454))


def test_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "KEEP_ALIVE", -1.0)
    with Server(OK, SETUP_OK, OK) as server:
        recording = record(server)
        recording.send(b"")
        recording.close()
    assert [request.split()[0] for request in server.requests[3:]] == ["OPTIONS", "TEARDOWN"]


def test_rtp_and_rtcp_have_a_channel_each() -> None:
    assert interleaved(b"\x80\xe0" + b"x" * 300) == b"$\x00\x01\x2e\x80\xe0" + b"x" * 300
    assert interleaved(b"\x80\xc8abcd") == b"$\x01\x00\x06\x80\xc8abcd"


def test_the_description_holds_what_a_decoder_needs() -> None:
    """A decoder that is given the announced parameter sets alone decodes a key frame without any."""
    shown = picture(0, size=(320, 240))
    packet = bytes(Encoder(shown, preset="veryfast").encode(shown)[0])
    sdp = describe(title="a title", parameter_sets=parameter_sets(packet))
    found = re.search(r"sprop-parameter-sets=([^;]+);", sdp)
    assert found is not None
    announced = [base64.b64decode(text) for text in found[1].split(",")]
    assert [unit[0] & 31 for unit in announced] == [7, 8]
    assert f"profile-level-id={announced[0][1:4].hex()}\r\n" in sdp
    assert "s=a title\r\n" in sdp
    slices = packet
    for unit in announced:
        assert unit in slices
        slices = slices.replace(b"\0\0\0\1" + unit, b"").replace(b"\0\0\1" + unit, b"")
    assert all(unit not in slices for unit in announced)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = b"".join(b"\0\0\0\1" + unit for unit in announced)
    frames = [*decoder.decode(av.Packet(slices)), *decoder.decode(None)]
    assert [(frame.width, frame.height) for frame in frames] == [(320, 240)]


def send_on(recording: RtspRecording) -> None:
    for _ in range(100):
        recording.send(b"$\0\0\1x")


def test_a_server_that_hangs_up_after_record_does_not_know_the_path() -> None:
    """As go2rtc does: it answers each request with 200, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                for answer in (OK, SETUP_OK, OK):
                    while lines.readline().strip():
                        pass
                    connection.sendall(answer.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        url = CameraUrl(f"rtsp://127.0.0.1:{listener.getsockname()[1]}/day")
        recording = RtspRecording(url=url, sdp="", timeout=5)
        thread.join(WAIT)
        with pytest.raises(OutputError, match="list the stream in go2rtc's `streams:`") as refused:
            send_on(recording)
        recording.close()
    assert refused.value.reason == "end_of_stream"


def test_later_it_is_a_connection_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "UNWANTED_WITHIN", -1.0)
    with Server(OK, SETUP_OK, OK) as server:
        recording = record(server)
        recording._socket.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ConnectionError, match="closed"):
            recording.send(b"")
        recording.close()


def test_a_host_whose_name_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OutputError) as lost:
        RtspRecording(url=CameraUrl("rtsp://u:s3cret@media.lan:8554/day"), sdp="", timeout=5)
    assert lost.value.reason == "unreachable"
    assert str(lost.value).startswith(
        "the name media.lan does not resolve (Name or service not known): look at its spelling and at the DNS"
    )
