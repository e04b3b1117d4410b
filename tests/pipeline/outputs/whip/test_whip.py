"""Publishing over WebRTC, to a server that is made of aiortc and Python's HTTP server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.events import Notice
from nightday.pipeline.core.sound import SoundTrack
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.registry import open_output, output_fault
from nightday.pipeline.outputs.restream.writer import Restreamer
from nightday.pipeline.outputs.whip import connection as connection_module
from nightday.pipeline.outputs.whip.connection import WhipConnection
from nightday.pipeline.outputs.whip.session import Target
from nightday.pipeline.outputs.whip.writer import WhipWriter
from tests.pipeline.outputs.hls.test_hls_writer import shown
from tests.support.heard import flashing
from tests.support.heard import play as play_clip
from tests.support.media_helpers import Events, OutputEvents
from tests.support.rtsp_server import WAIT

TOKEN = "Zk9q7Wx2"


class Server:
    """Takes offers, decodes what comes, and notes it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.frames: list[tuple[float, np.ndarray]] = []
        self.heard: list[Any] = []
        self.without_sound = False
        self.peers: list[RTCPeerConnection] = []
        self.status = 201
        self.silent = False
        self._came = threading.Condition()
        self._tasks: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._threads = [threading.Thread(target=self._loop.run_forever)]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_POST(self) -> None:
                outer.note("POST", self.path, self.headers.get("Authorization", ""))
                offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if outer.status != 201:
                    self.send_error(outer.status)
                    return
                answer = asyncio.run_coroutine_threadsafe(outer.answer(offer), outer._loop).result(WAIT)
                self.send_response(201)
                self.send_header("Location", "/session/1")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer.encode())

            def do_DELETE(self) -> None:
                outer.note("DELETE", self.path, self.headers.get("Authorization", ""))
                self.send_response(200)
                self.end_headers()

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._threads.append(threading.Thread(target=self._http.serve_forever))
        self.url = f"whip://127.0.0.1:{self._http.server_port}/whip/gate?token={TOKEN}&room=2"

    def __enter__(self) -> Server:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self.end_peers()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(WAIT)
        self._loop.close()

    def end_peers(self) -> None:
        """Hang up."""

        async def end() -> None:
            for peer in self.peers:
                await peer.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(WAIT)

    def note(self, *asked: str) -> None:
        with self._came:
            self.asked.append((asked[0], asked[1], asked[2]))
            self._came.notify_all()

    def wait_for(self, wanted: Callable[[], bool]) -> None:
        with self._came:
            assert self._came.wait_for(wanted, WAIT), (self.asked, len(self.frames))

    async def answer(self, offer: str) -> str:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.append(peer)

        @peer.on("track")
        def on_track(track: Any) -> None:
            self._tasks.append(asyncio.ensure_future(self._take(track)))

        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        for transceiver in peer.getTransceivers():
            if self.without_sound and transceiver.kind == "audio":
                transceiver.direction = "inactive"
        await peer.setLocalDescription(await peer.createAnswer())
        sdp: str = peer.localDescription.sdp
        if self.silent:  # other ports than its own
            lines = [line for line in sdp.split("\r\n") if not line.startswith("a=candidate")]
            return "\r\n".join(lines)
        return sdp

    async def _take(self, track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                if track.kind == "audio":
                    self.heard.append(frame)
                    continue
                with self._came:
                    self.frames.append((float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")))
                    self._came.notify_all()
        except Exception:  # its end
            return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        yield one


def play(one: Restreamer, numbers: range) -> None:
    """The pictures, ten times as fast as they were taken."""
    for number in numbers:
        one.write(shown(number, size=(320, 240)))
        time.sleep(0.004)  # or the kernel's buffer for UDP overflows


def test_a_server_gets_the_pictures_as_they_were_encoded(server: Server) -> None:
    one = Restreamer(connect=lambda first: WhipConnection(CameraUrl(server.url), first))
    play(one, range(1000, 1060))
    server.wait_for(lambda: len(server.frames) >= 55)
    one.idle(2.0)
    one.close()
    server.wait_for(lambda: server.asked[-1][0] == "DELETE")
    assert server.asked == [
        ("POST", "/whip/gate?room=2", f"Bearer {TOKEN}"),
        ("DELETE", "/session/1", f"Bearer {TOKEN}"),
    ]
    times = np.array([seconds for seconds, _ in server.frames])
    assert np.allclose(np.diff(times), 0.04, atol=1e-3)
    rgb = server.frames[-1][1]
    assert rgb.shape == (240, 320, 3)
    assert abs(float(rgb[100:].mean()) - 90) < 4


def test_a_server_that_hangs_up_is_noticed_and_the_stream_begun_anew(server: Server) -> None:
    one = Restreamer(connect=lambda first: WhipConnection(CameraUrl(server.url), first))
    play(one, range(5))
    server.end_peers()

    def idle_until_it_is_noticed() -> None:
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            one.idle(1.0)
            time.sleep(0.01)

    with pytest.raises(ConnectionResetError):
        idle_until_it_is_noticed()
    one.close()
    before = len(server.frames)
    play(one, range(5, 30))
    server.wait_for(lambda: len(server.frames) > before + 10)
    one.close()


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "unauthorised"), (404, "not_found"), (500, "failed"), (302, "failed")]
)
def test_a_refusal_has_its_reason(server: Server, status: int, reason: str) -> None:
    server.status = status
    events = OutputEvents()
    one = open_output(server.url, camera="gate", stats=CameraStats(), publish=events)
    one.offer(shown(0))
    event = events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == reason
    assert TOKEN not in event.output + event.detail
    assert one.close(WAIT)


def test_a_server_that_nothing_comes_through_to(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "IO_TIMEOUT", 1.5)
    server.silent = True
    events = OutputEvents()
    one = open_output(server.url, camera="gate", stats=CameraStats(), publish=events)
    one.offer(shown(0))
    event = events.wait_for(lambda event: event.state == "retrying")
    assert (event.reason, event.detail) == ("timeout", "nothing comes through to the server by UDP")
    assert one.close(WAIT)


def test_what_answers_there_may_be_no_http_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"RTSP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        one = Restreamer(
            connect=lambda first: WhipConnection(
                CameraUrl(f"whip://127.0.0.1:{listener.getsockname()[1]}/gate"), first
            )
        )
        with pytest.raises(OSError, match="does not speak HTTP"):
            one.write(shown(0))
        thread.join(WAIT)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("whip://host", "no path; use whip://host/path for http"),
        ("whip:///path", "no host"),
        ("whips://host:0/path", "no usable port"),
        ("whip://viewer:Zk9q7Wx2@host/path", "WHIP has no login; give the server's token as ?token="),
    ],
)
def test_addresses_that_are_no_stream(address: str, said: str) -> None:
    fault = output_fault(address)
    assert fault is not None
    assert said in fault
    assert TOKEN not in fault


def test_what_an_address_says() -> None:
    target = Target.of(CameraUrl(f"whips://[::1]:8443/a/b?x=1&token={TOKEN}"))
    assert (target.address, target.token) == ("https://[::1]:8443/a/b?x=1", TOKEN)
    assert TOKEN not in repr(target)


def played(server: Server, folder: Path, *coding: str) -> list[Notice]:
    """A clip with sound that was published, at about ten times its pace, and what was told."""
    source = flashing(folder / "source.mkv", coding[0], seconds=3, more=coding[1:])
    track, events = SoundTrack(), Events()
    one = WhipWriter(
        url=CameraUrl(server.url), encoder=SharedEncoder(sound=track), camera="gate", publish=events
    )
    play_clip(source, track, one.write, lambda _: time.sleep(0.004))
    server.wait_for(lambda: len(server.frames) >= 55)
    one.close()
    server.wait_for(lambda: server.asked[-1][0] == "DELETE")
    return [event for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("coding", [("libopus",), ("pcm_alaw", "-ar", "8000", "-ac", "1")])
def test_a_server_gets_the_sound_as_it_is_decoded_elsewhere(
    server: Server, tmp_path: Path, coding: tuple[str, ...]
) -> None:
    assert played(server, tmp_path, *coding) == []
    heard = [frame.to_ndarray().astype(float).ravel() for frame in server.heard]
    # It is silent but for a beep of 0.8 of full scale each second.
    loud = [number for number, samples in enumerate(heard) if np.abs(samples).max() > 0.2 * 2**15]
    assert loud
    assert len(loud) < len(heard) / 2


def test_a_server_that_leaves_sound_out_gets_the_pictures_and_that_is_told(
    server: Server, tmp_path: Path
) -> None:
    server.without_sound = True
    (note,) = played(server, tmp_path, "libopus")
    assert server.heard == []
    assert note.name == "sound_dropped"
    assert "takes no sound of the codec opus (its answer leaves it out)" in note.detail
    assert TOKEN not in note.detail


def test_sound_that_webrtc_does_not_take_is_not_offered(server: Server, tmp_path: Path) -> None:
    assert played(server, tmp_path, "aac") == []
    assert server.heard == []
