"""Publishing over RTMP: to ffmpeg as the server, and to servers that refuse, fall silent or speak something else."""

from __future__ import annotations

import os
import random
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.sound import SoundTrack
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.module import RTMP_SOUNDS
from nightday.pipeline.outputs.registry import open_output, output_fault
from nightday.pipeline.outputs.restream.writer import Restreamer
from nightday.pipeline.outputs.rtmp import connection as connection_module
from nightday.pipeline.outputs.rtmp.amf import Value, decoded, encoded
from nightday.pipeline.outputs.rtmp.chunks import COMMAND, ChunkReader, Message, chunked
from nightday.pipeline.outputs.rtmp.client import Target
from nightday.pipeline.outputs.rtmp.connection import RtmpConnection
from tests.faults.feeding import heartbeat
from tests.pipeline.outputs.hls.test_hls_writer import shown
from tests.support.heard import apart, flashing, payloads, play
from tests.support.media_helpers import OutputEvents, ffmpeg_complaints, ffprobe
from tests.support.ports import lasting_port
from tests.support.rtsp_server import WAIT
from tests.support.tcp_peer import TcpPeer

KEY = "Zk9q7Wx2"
SOON = Backoff(first=0.05, cap=0.1, floor=0.0)
HELD = 1.5  # seconds another thread may have to wait on a busy machine


@contextmanager
def ffmpeg_server(path: Path) -> Iterator[int]:
    """ffmpeg, which takes one stream and records it; its port. It ends with the stream, and is waited for."""
    port = lasting_port()
    listen = ["-listen", "1", "-timeout", "20", "-i", f"rtmp://127.0.0.1:{port}/live/{KEY}"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *listen, "-c", "copy", "-copyts", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline, bound = time.monotonic() + WAIT, f":{port:04X} "
        while not any(bound in line for line in Path("/proc/net/tcp").read_text().splitlines()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield port
        process.wait(WAIT)
    finally:
        process.kill()
        process.wait(WAIT)


def publisher(address: str) -> Restreamer:
    return Restreamer(connect=lambda first: RtmpConnection(CameraUrl(address), first, title="made by night"))


def pts_of(path: Path) -> list[int]:
    """Milliseconds of each packet."""
    return [round(float(packet["pts_time"]) * 1000) for packet in ffprobe(path, "packet=pts_time")["packets"]]


def test_a_server_gets_every_picture_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "got.mkv"
    with ffmpeg_server(path) as port:
        one = publisher(f"rtmp://127.0.0.1:{port}/live/{KEY}")
        for number in range(1000, 1080):
            one.write(shown(number))
        one.idle(2.0)
        one.close()
    assert pts_of(path) == [40 * number for number in range(80)]
    assert ffmpeg_complaints(path) == ""
    told = ffprobe(path, "stream=width,height,codec_name", "format_tags")
    assert told["streams"] == [{"codec_name": "h264", "width": 64, "height": 48}]
    assert "made by night" in told["format"]["tags"].values()


@contextmanager
def tls_in_front(port: int, certificate: Path) -> Iterator[int]:
    """A port that decrypts one connection and passes it on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on() -> None:
        try:
            outside, _ = listener.accept()
            with (
                context.wrap_socket(outside, server_side=True) as near,
                socket.create_connection(("127.0.0.1", port)) as far,
            ):
                back = threading.Thread(target=pump, args=(far, near))
                back.start()
                pump(near, far)
                far.shutdown(socket.SHUT_RDWR)
                back.join(WAIT)
        except OSError:
            pass

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass

    thread = threading.Thread(target=pass_on)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join(WAIT)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of localhost, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    made = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command = [
        "openssl",
        "req",
        "-x509",
        *made,
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(path),
    ]
    done = subprocess.run([*command, "-out", "-"], capture_output=True, timeout=60, check=True)
    path.write_bytes(path.read_bytes() + done.stdout)
    return path


def test_over_tls_the_certificate_must_be_good(
    tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "got.mkv"
    with ffmpeg_server(path) as port:
        with tls_in_front(port, certificate) as outside:
            one = publisher(f"rtmps://localhost:{outside}/live/{KEY}")
            with pytest.raises(OSError, match="certificate is not to be trusted: self-signed"):
                one.write(shown(0))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with tls_in_front(port, certificate) as outside:
            one = publisher(f"rtmps://localhost:{outside}/live/{KEY}")
            for number in range(30):
                one.write(shown(number))
            one.idle(1.0)
            one.close()
    assert pts_of(path) == [40 * number for number in range(30)]


class Peer(TcpPeer):
    """A server that shakes hands and answers commands by ``answer``, which may do as it likes."""

    def __init__(self, answer: Callable[[socket.socket, list[Value]], None] | None) -> None:
        self._answer = answer
        super().__init__(socket.create_server(("127.0.0.1", 0)))
        self.url = f"rtmp://127.0.0.1:{self.port}/live/{KEY}"
        self.got: list[Message] = []

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT)
        with connection:
            try:
                if self._answer is None:  # falls silent at once
                    self.ended.wait(WAIT)
                    return
                hello = connection.recv(1537, socket.MSG_WAITALL)
                connection.sendall(b"\3" + os.urandom(1536) + hello[1:])
                connection.recv(1536, socket.MSG_WAITALL)
                reader = ChunkReader()
                while data := connection.recv(65_536):
                    for message in reader.feed(data):
                        self.got.append(message)
                        if message.kind == COMMAND:
                            self._answer(connection, decoded(message.data))
            except OSError:
                pass


def command(*values: Value) -> bytes:
    return chunked(Message(COMMAND, encoded(*values)), size=128)


def welcome(connection: socket.socket, values: list[Value]) -> None:
    """Answer as a server does that takes the stream."""
    name, number = values[0], values[1]
    if name == "connect":
        connection.sendall(
            command("_result", number, {"fmsVer": "x"}, {"code": "NetConnection.Connect.Success"})
        )
    elif name in ("releaseStream", "FCPublish"):
        connection.sendall(command("_error", number, None, {"code": "NetConnection.Call.Failed"}))
    elif name == "createStream":
        connection.sendall(command("_result", number, None, 7.0))
    elif name == "publish":
        connection.sendall(
            command("onStatus", 0, None, {"level": "status", "code": "NetStream.Publish.Start"})
        )


def refusing(at: str, code: str) -> Callable[[socket.socket, list[Value]], None]:
    def answer(connection: socket.socket, values: list[Value]) -> None:
        if values[0] != at:
            welcome(connection, values)
            return
        about: Value = {"level": "error", "code": code, "description": f"{KEY} will not do"}
        name = "onStatus" if at == "publish" else "_error"
        connection.sendall(command(name, values[1], None, about))

    return answer


@pytest.mark.parametrize(
    ("at", "code", "reason"),
    [
        ("connect", "NetConnection.Connect.InvalidApp", "not_found"),
        ("connect", "NetConnection.Connect.Rejected", "unauthorised"),
        ("publish", "NetStream.Publish.BadName", "unauthorised"),
        ("createStream", "NetConnection.Call.Failed", "failed"),
    ],
)
def test_a_refusal_has_its_reason_and_tells_no_key(at: str, code: str, reason: str) -> None:
    events = OutputEvents()
    with Peer(refusing(at, code)) as peer:
        one = open_output(peer.url, camera="gate", stats=CameraStats(), publish=events, backoff=SOON)
        one.offer(shown(0))
        event = events.wait_for(lambda event: event.state == "retrying")
        assert event.reason == reason
        assert event.detail == "the server refuses the stream: *** will not do"
        assert KEY not in event.output
        assert one.close(WAIT)


def silent(connection: socket.socket, values: list[Value]) -> None:
    """Take the connection, and answer nothing more."""


def flooding(connection: socket.socket, values: list[Value]) -> None:
    while True:
        connection.sendall(command("onBWDone", 0, None) * 100)


def babbling(connection: socket.socket, values: list[Value]) -> None:
    connection.sendall(b"\xc5" + b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(None, "timeout"), (silent, "timeout"), (flooding, "timeout"), (babbling, "failed")],
)
def test_a_server_that_misbehaves_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[socket.socket, list[Value]], None] | None,
    reason: str,
) -> None:
    monkeypatch.setattr(connection_module, "IO_TIMEOUT", 0.5)
    events = OutputEvents()
    with Peer(answer) as peer, heartbeat() as beats:
        one = open_output(peer.url, camera="gate", stats=CameraStats(), publish=events, backoff=SOON)
        one.offer(shown(0))
        event = events.wait_for(lambda event: event.state == "retrying")
        assert event.reason == reason
        assert one.close(WAIT)
    assert max(later - earlier for earlier, later in pairwise(beats)) < HELD


def test_a_server_that_hangs_up_is_noticed_while_no_picture_comes_and_the_stream_begins_anew() -> None:
    held: list[socket.socket] = []

    def answer(connection: socket.socket, values: list[Value]) -> None:
        held.append(connection)
        welcome(connection, values)

    with Peer(answer) as peer:
        one = publisher(peer.url)
        one.write(shown(0))
        held[-1].shutdown(socket.SHUT_RDWR)

        def idle_until_it_has_come_here() -> None:
            deadline = time.monotonic() + WAIT
            while time.monotonic() < deadline:
                one.idle(1.0)
                time.sleep(0.01)

        with pytest.raises(OSError, match="closed the connection"):
            idle_until_it_has_come_here()
        one.close()
        one.write(shown(1))
        one.close()
        deadline = time.monotonic() + WAIT
        while sum(message.kind == 9 and message.data[:2] == b"\x17\x01" for message in peer.got) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert {message.stream for message in peer.got if message.kind in (9, 18)} == {7}


def test_pings_are_answered_and_what_came_is_acknowledged() -> None:
    def answer(connection: socket.socket, values: list[Value]) -> None:
        if values[0] == "connect":
            connection.sendall(chunked(Message(5, struct.pack(">I", 1024))))
            connection.sendall(chunked(Message(4, struct.pack(">HI", 6, 4321))))
            connection.sendall(command("onBWDone", 0, None, "x" * 2000))
        welcome(connection, values)

    with Peer(answer) as peer:
        one = publisher(peer.url)
        one.write(shown(0))
        one.close()
        deadline = time.monotonic() + WAIT
        while not {(4, struct.pack(">HI", 7, 4321))} <= {(one.kind, one.data) for one in peer.got}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert any(message.kind == 3 for message in peer.got)


def naive_chunks(messages: list[Message], size: int, rng: np.random.Generator) -> bytes:
    """Messages as chunks with short headers where the standard lets them be, over several chunk streams."""
    data, last = b"", dict[int, Message]()
    for message in messages:
        channel = int(rng.choice([3, 5, 63, 64, 300, 65_000]))
        basic = (
            bytes((channel,))
            if channel < 64
            else bytes((0, channel - 64))
            if channel < 320
            else bytes((1, (channel - 64) & 255, (channel - 64) >> 8))
        )
        before, whole = last.get(channel), b""
        time_, late = min(message.time, 0xFFFFFF), message.time >= 0xFFFFFF
        form = 0
        if before is not None and before.stream == message.stream and not late and before.time < 0xFFFFFF:
            form = 2 if (len(before.data), before.kind) == (len(message.data), message.kind) else 1
        head = time_.to_bytes(3, "big")
        head += len(message.data).to_bytes(3, "big") + bytes((message.kind,)) if form < 2 else b""
        head += struct.pack("<I", message.stream) if form == 0 else b""
        extended = struct.pack(">I", message.time) if late else b""
        for start in range(0, max(1, len(message.data)), size):
            mark = bytes(((form if start == 0 else 3) << 6 | basic[0],)) + basic[1:]
            whole += mark + (head if start == 0 else b"") + extended + message.data[start : start + size]
        data += whole
        last[channel] = message
    return data


def test_messages_are_read_whatever_their_headers_and_however_they_arrive(rng: np.random.Generator) -> None:
    for _ in range(30):
        messages = [
            Message(
                int(rng.choice([8, 9, 18, 20])),
                rng.bytes(int(rng.choice([1, 2, 3, 4, 127, 128, 129, 700]))),
                int(rng.integers(0, 4)),
                int(rng.choice([0, 40, 0xFFFFFE, 0xFFFFFF, 0xFFFFFFFF])),
            )
            for _ in range(20)
        ]
        data, reader, got = naive_chunks(messages, 128, rng), ChunkReader(), list[Message]()
        while data:
            count = int(rng.integers(1, 300))
            got += reader.feed(data[:count])
            data = data[count:]
        assert got == messages


def test_what_is_sent_is_read_again(rng: np.random.Generator) -> None:
    sent = [
        Message(9, rng.bytes(count), 1, time)
        for count in (1, 127, 128, 129, 400)
        for time in (7, 2**24, 2**32 - 1)
    ]
    data = b"".join(chunked(message, size=128) for message in sent)
    assert ChunkReader().feed(data) == sent


def test_values_come_back_as_they_were(rng: np.random.Generator) -> None:
    draw = random.Random(int(rng.integers(2**32)))

    def value(depth: int) -> Value:
        kind = draw.randrange(7 if depth else 5)
        if kind == 5:
            return {f"k{number}é": value(depth - 1) for number in range(draw.randrange(4))}
        if kind == 6:
            return [value(depth - 1) for _ in range(draw.randrange(4))]
        return (draw.uniform(-1e9, 1e9), draw.random() < 0.5, "x" * draw.randrange(5), "é" * 40_000, None)[
            kind
        ]

    for _ in range(200):
        values = [value(3) for _ in range(draw.randrange(4))]
        data = encoded(*values)
        assert decoded(data) == values
        decoded(data[: draw.randrange(len(data) + 1)])  # does not raise
        broken = bytearray(data or b"\0")
        broken[draw.randrange(len(broken))] = draw.randrange(256)
        decoded(bytes(broken))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("rtmp://host", "no application or no key; use rtmp(s)://host/app/key"),
        ("rtmp://host/live", "no application or no key"),
        ("rtmp://host/live/", "no application or no key"),
        ("rtmp:///live/key", "no host"),
        ("rtmp://host:0/live/key", "no usable port"),
        ("rtmp://viewer:Zk9q7Wx2@host/live/key", "RTMP has no login"),
    ],
)
def test_addresses_that_are_no_stream(address: str, said: str) -> None:
    fault = output_fault(address)
    assert fault is not None
    assert said in fault
    assert "Zk9q7Wx2" not in fault


def test_what_an_address_says() -> None:
    target = Target.of(CameraUrl("rtmp://[::1]:19350/live/room/key?user=a&pass=b"))
    assert (target.host, target.port, target.tls) == ("::1", 19350, False)
    assert target.address == "rtmp://[::1]:19350/live/room"
    assert (target.application, target.key) == ("live/room", "key?user=a&pass=b")
    assert "key" not in repr(target).replace("key=", "")
    plain = Target.of(CameraUrl("rtmps://live.example/rtmp/key"))
    assert (plain.port, plain.tls, plain.address) == (443, True, "rtmps://live.example/rtmp")


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_a_server_gets_the_sound_unchanged_and_in_time(tmp_path: Path, codec: str) -> None:
    source, path, track = (
        flashing(tmp_path / "source.mkv", codec, seconds=4),
        tmp_path / "got.mkv",
        SoundTrack(),
    )
    with ffmpeg_server(path) as port:
        one = Restreamer(
            connect=lambda first: RtmpConnection(
                CameraUrl(f"rtmp://127.0.0.1:{port}/live/{KEY}"), first, title="made by night"
            ),
            sounds=RTMP_SOUNDS,
            encoder=SharedEncoder(sound=track),
        )
        play(source, track, one.write)
        one.close()
    sent, found = payloads(source), payloads(path)
    start = sent.index(found[1]) - 1
    assert start < 3
    assert found == sent[start : start + len(found)]
    assert len(found) > len(sent) - 8
    differences = apart(path)
    assert len(differences) >= 3
    assert max(map(abs, differences)) < 0.03
    assert ffmpeg_complaints(path) == ""
