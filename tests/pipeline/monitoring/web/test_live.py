"""Live streams over real sockets, to ffprobe and to viewers who are slow, silent or gone."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import av
import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from nightday.pipeline.config.schema import HttpConfig
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.core.picture_files import jpeg_of
from nightday.pipeline.core.sound import SoundPacket, SoundTrack
from nightday.pipeline.monitoring.http_server import WebServer, web_app
from nightday.pipeline.monitoring.web import live as over_http
from nightday.pipeline.outputs.encoding import encoder
from nightday.pipeline.outputs.encoding.shared_encoder import CameraEncoders
from nightday.pipeline.outputs.live.viewer import LiveViewer
from nightday.pipeline.outputs.live.viewers import LiveViewers
from tests.support.media_helpers import Events, picture
from tests.support.watched import FakeRun

WAIT = 60.0  # seconds until a test gives up
FRAME = 512  # ticks of 1/12800 s between pictures: 25 fps by their PTS
PATH = "/live/gate.ts"
MP4 = "/live/gate.mp4"


class Camera:
    """A camera that shows noise, ``rate`` pictures a second, and whoever watches it."""

    def __init__(
        self,
        *,
        size: tuple[int, int] = (64, 48),
        rate: float = 60.0,
        sound: Sequence[SoundPacket] = (),
    ) -> None:
        self.stats = CameraStats()
        self.events = Events()
        self._track = SoundTrack()
        self._sound = list(sound)
        for packet in self._sound[:1]:
            self._track.tell(packet.format)
        self.states = {"gate": {"sound": sound[0].format.codec}} if sound else {}
        self.live = LiveViewers(
            camera="gate",
            encoders=CameraEncoders(camera="gate", publish=self.events, sound=self._track if sound else None),
            generated=True,
            stats=self.stats,
            publish=self.events,
            clock=SystemClock(),
        )
        self.shown = 0
        self._size, self._rate = size, rate
        self._noise = np.random.default_rng(0).integers(0, 256, (8, *size[::-1], 3), np.uint8)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more pictures, and the end of all streams."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(WAIT)
        self.live.finish()

    def picture(self, number: int) -> Picture:
        """The picture of a number: by day one of eight in turn, by night the one after it."""
        day, night = (self._noise[(number + later) % 8] for later in (0, 1))
        shown = picture(number * FRAME, rgb=day)
        return replace(shown, seen=night, frame=replace(shown.frame, decoded_at=number / 25))

    def pattern(self, frame: av.VideoFrame) -> int:
        """Which of the eight pictures that it shows in turn a frame is most like."""
        return self.pattern_of(frame.to_ndarray(format="rgb24"))

    def pattern_of(self, rgb: np.ndarray) -> int:
        """The same of an array."""
        shown = rgb[::5, ::5].astype(int)
        return int(np.argmin([np.abs(shown - one[::5, ::5]).mean() for one in self._noise]))

    def _run(self) -> None:
        while not self._stop.wait(1 / self._rate):
            queues = [len(stream.output._queue) for stream in self.live._streams.values()]
            if max(queues, default=0) > 1:  # on a busy machine it would lose pictures
                continue
            while self._sound and self._sound[0].at <= self.shown / 25:
                self._track.put(self._sound.pop(0))
            self.live.offer(self.picture(self.shown))
            self.shown += 1


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """PTS of the pictures that each encoder has encoded, in the order in which the encoders began."""
    begun: list[list[int]] = []

    class Counted(encoder.Encoder):
        def __init__(self, *args: Any, **keys: Any) -> None:
            super().__init__(*args, **keys)
            self.seen: list[int] = []
            begun.append(self.seen)

        def encode(self, shown: Any, *, key: bool = False) -> Any:
            self.seen.append(shown.frame.pts)
            return super().encode(shown, key=key)

    monkeypatch.setattr("nightday.pipeline.outputs.encoding.shared_encoder.Encoder", Counted)
    return begun


Serve = Callable[..., WebServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a camera, which then shows pictures; ends both after the test."""
    begun: list[tuple[WebServer, Camera]] = []

    def serve(camera: Camera, *, token: str | None = None, silent: bool = False, **limits: Any) -> WebServer:
        settings = HttpConfig(port=0, token=SecretStr(token) if token else None)
        server = WebServer(
            settings, web_app(settings, FakeRun(live={"gate": camera.live}, states=camera.states)), **limits
        )
        begun.append((server, camera))
        server.start()
        if not silent:
            camera.start()
        return server

    yield serve
    for server, camera in begun:
        camera.stop()
        assert server.close(WAIT)
        for thread in camera.live.threads:
            thread.join(WAIT)
        assert not any(thread.is_alive() for thread in camera.live.threads)


def ask(server: WebServer, path: str = PATH, *, method: str = "GET", buffer: int | None = None) -> Any:
    """The beginning of an answer, with as small a buffer for what follows as ``buffer`` says."""
    port = int(server.address.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    connection.sock = socket.socket()
    if buffer is not None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.sock.settimeout(WAIT)
    connection.sock.connect(("127.0.0.1", port))
    connection.request(method, path)
    return connection.getresponse()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def read_until(answer: Any, read: bytearray, true: Callable[[], bool]) -> None:
    """Read what comes until that is so."""
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        read += answer.read1(2**20)


def frames_of(stream: bytes, *, cut: bool = False) -> list[av.VideoFrame]:
    """The pictures of a stream, by a decoder that takes no errors; but the last if it is cut."""
    form = "mp4" if stream[4:8] == b"ftyp" else "mpegts"
    with av.open(io.BytesIO(stream), format=form) as container:
        video = container.streams.video[0]
        video.codec_context.options = {"err_detect": "explode", "flags": "-output_corrupt"}
        packets = [packet for packet in container.demux(video) if packet.size]
        kept = packets[:-1] if cut else packets
        frames = [frame for packet in kept for frame in packet.decode()]
        return [*frames, *video.codec_context.decode(None)]


def time_of(frame: av.VideoFrame) -> int:
    assert frame.pts is not None
    return frame.pts


@pytest.mark.parametrize(("path", "step"), [(PATH, 90_000 // 25), (MP4, FRAME)])
def test_ffprobe_plays_it_without_a_complaint_and_in_the_pictures_own_time(
    serve: Serve, path: str, step: int
) -> None:
    server = serve(Camera())
    command = ["ffprobe", "-v", "warning", "-of", "json", "-show_entries", "stream=codec_name,width,height"]
    command[-1] += ":frame=pts,key_frame:program_tags=service_name:format_tags=comment"
    command += ["-read_intervals", "%+#90", server.address + path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    stream = told["streams"][0]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 64, 48)
    title = told["format"]["tags"]["comment"] if path == MP4 else told["programs"][0]["tags"]["service_name"]
    assert "synthetic day" in title
    frames = told["frames"]
    assert len(frames) >= 85
    assert frames[0]["key_frame"] == 1
    assert {later["pts"] - one["pts"] for one, later in pairwise(frames)} == {step}


def test_many_viewers_cost_one_encode_and_nobody_watching_costs_none(
    serve: Serve, encoders: list[list[int]]
) -> None:
    camera = Camera()
    server = serve(camera)
    until(lambda: camera.shown > 5)
    assert encoders == []
    viewers = [ask(server) for _ in range(16)]
    begins = []
    for viewer in viewers:
        frames = frames_of(viewer.read(188 * 80), cut=True)
        assert frames[0].key_frame
        begins.append(time_of(frames[0]))
    assert camera.live.count == 16
    assert len(encoders) == 1
    assert len(set(encoders[0])) == len(encoders[0])
    for viewer in viewers:
        viewer.close()
    until(lambda: camera.live.count == 0 and not camera.live.threads)
    encoded, shown = len(encoders[0]), camera.shown
    until(lambda: camera.shown > shown + 10)
    assert len(encoders[0]) == encoded
    again = ask(server)  # the first of a new round
    assert time_of(frames_of(again.read(188 * 80), cut=True)[0]) > max(begins)
    again.close()


@pytest.mark.parametrize(("path", "step"), [(PATH, 90_000 // 25), (MP4, FRAME)])
def test_one_who_reads_nothing_loses_whole_groups_and_delays_nobody(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str, step: int
) -> None:
    monkeypatch.setattr("nightday.pipeline.outputs.live.viewer.MOST_PICTURES", 25)
    camera = Camera(size=(320, 240), rate=100.0)
    server = serve(camera)
    stalled = ask(server, path, buffer=4096)
    (viewer,) = camera.live._streams["day", "h264"].viewers
    assert isinstance(viewer, LiveViewer)
    other = ask(server)
    seen = bytearray()
    read_until(other, seen, lambda: viewer.times_behind > 0)
    end = camera.shown + 60
    read_until(other, seen, lambda: camera.shown > end)
    camera.stop()
    seen += other.read()
    late = stalled.read()
    frames = frames_of(bytes(seen))
    steps = {time_of(later) - time_of(one) for one, later in pairwise(frames)}
    assert steps == {3600}
    assert camera.stats.snapshot().dropped == {}
    assert len(frames) > 100
    got = frames_of(late)
    gaps = [later for one, later in pairwise(got) if time_of(later) - time_of(one) != step]
    assert 1 <= len(gaps) <= viewer.times_behind  # it may have been behind twice before it took anything
    assert all(after.key_frame for after in gaps)
    # Each shows what the camera showed at its time, also after a gap.
    assert len({(camera.pattern(frame) - time_of(frame) // step) % 8 for frame in got}) == 1


def test_one_who_takes_nothing_for_too_long_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_http, "STALLED", 0.3)
    camera = Camera(size=(320, 240), rate=100.0)
    server = serve(camera)
    stalled = ask(server, buffer=4096)
    assert camera.live.count == 1
    until(lambda: camera.live.count == 0)
    with pytest.raises((ConnectionError, http.client.IncompleteRead)):
        stalled.read()


def test_it_outlasts_the_limits_of_other_connections(serve: Serve) -> None:
    camera = Camera()
    server = serve(camera, time_limit=0.4, most_connections=2)
    viewer = ask(server)
    crowd = [
        socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) for _ in range(8)
    ]
    end, shown = time.monotonic() + 1.0, camera.shown
    read = bytearray()
    read_until(viewer, read, lambda: time.monotonic() > end and camera.shown > shown + 50)
    camera.stop()
    read += viewer.read()
    assert len(frames_of(bytes(read))) > 40
    for one in crowd:
        one.close()


def test_who_cannot_watch_is_told_why(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(over_http, "FIRST_WITHIN", 0.2)
    camera = Camera()
    server = serve(camera, silent=True, token="correct-horse")
    shown = "?token=correct-horse"
    for path, status, text in (
        (f"/live/barn.ts{shown}", 404, "no camera of this name; /api/cameras lists them\n"),
        (PATH + shown, 503, "no picture of gate comes at the moment\n"),
    ):
        answer = ask(server, path)
        assert (answer.status, answer.read().decode()) == (status, text)
    assert ask(server).status == 401
    head = ask(server, PATH + shown, method="HEAD")
    assert (head.status, head.headers["content-type"]) == (200, "video/mp2t")
    assert ask(server, f"/live/barn.ts{shown}", method="HEAD").status == 404
    until(lambda: camera.live.count == 0)
    camera.start()
    monkeypatch.setattr(over_http, "MOST_VIEWERS", 2)
    watching = [ask(server, PATH + shown) for _ in range(2)]
    assert [one.status for one in watching] == [200, 200]
    refused = ask(server, PATH + shown)
    assert (refused.status, refused.read()) == (503, b"2 watch already\n")
    watching.pop(random.randrange(2)).close()
    until(lambda: camera.live.count == 1)
    assert ask(server, PATH + shown).status == 200


def test_a_camera_that_ends_ends_its_streams(serve: Serve) -> None:
    camera = Camera()
    server = serve(camera)
    viewer = ask(server)
    camera.stop()
    assert frames_of(viewer.read())
    answer = ask(server)
    assert (answer.status, answer.read()) == (503, b"no picture of gate comes at the moment\n")


@pytest.mark.parametrize("view", ["day", "night", "pair"])
def test_each_view_shows_what_it_says_of_the_same_picture(serve: Serve, view: str) -> None:
    camera = Camera()
    server = serve(camera)
    viewer = ask(server, f"{MP4}?view={view}")
    read = bytearray()
    read_until(viewer, read, lambda: camera.shown > 60)
    camera.stop()
    frames = frames_of(bytes(read + viewer.read()))
    assert len(frames) > 20
    first = None
    for frame in frames:
        rgb = frame.to_ndarray(format="rgb24")
        assert rgb.shape == (48, 128 if view == "pair" else 64, 3)
        day = camera.pattern_of(rgb[:, -64:]) - (view == "night")
        if view == "pair":
            assert (camera.pattern_of(rgb[:, :64]) - day) % 8 == 1
        number = (day - time_of(frame) // FRAME) % 8
        first = number if first is None else first
        assert number == first


def test_views_have_an_encoder_while_they_are_watched_and_the_day_shares_its_own(
    serve: Serve, encoders: list[list[int]]
) -> None:
    camera = Camera()
    server = serve(camera)
    paths = [f"/live/gate.{form}?view={view}" for form in ("ts", "mp4") for view in ("day", "night", "pair")]
    viewers = [ask(server, path) for path in paths]
    assert len(encoders) == 3
    for viewer in viewers[1:]:  # the first watches the day
        viewer.close()
    until(lambda: camera.live.count == 1 and len(camera.live.threads) == 1)
    counts = [len(seen) for seen in encoders]
    until(lambda: max(map(len, encoders)) > max(counts) + 10)
    grown = [len(seen) > count for seen, count in zip(encoders, counts, strict=True)]
    assert sorted(grown) == [False, False, True]
    again = ask(server, paths[2])  # the pair's goes on
    assert len(encoders) == 3
    again.close()
    viewers[0].close()


def jpegs_of(body: bytes) -> list[bytes]:
    """The whole JPEGs of a multipart body."""
    assert b"--picture\r\n".startswith(body[:11])
    jpegs = []
    for part in body.split(b"--picture\r\n")[1:]:
        head, _, data = part.partition(b"\r\n\r\n")
        if not data:
            continue
        length = int(head.rpartition(b":")[2])
        if len(data) < length:
            continue
        assert head.startswith(b"Content-Type: image/jpeg\r\nContent-Length:")
        assert data[length:] == b"\r\n"
        jpegs.append(data[:length])
    return jpegs


def test_jpegs_come_ten_a_second_and_are_made_once_for_all(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0

    def counted(rgb: np.ndarray) -> bytes:
        nonlocal made
        made += 1
        return jpeg_of(rgb)

    monkeypatch.setattr("nightday.pipeline.outputs.live.viewers.jpeg_of", counted)
    camera = Camera()
    server = serve(camera)
    viewers = [ask(server, "/live/gate.mjpeg?view=pair") for _ in range(3)]
    for viewer in viewers:
        assert viewer.headers["content-type"] == "multipart/x-mixed-replace; boundary=picture"
    read = [bytearray() for _ in viewers]
    for viewer, one in zip(viewers, read, strict=True):
        read_until(viewer, one, lambda one=one: len(jpegs_of(bytes(one))) >= 8)  # type: ignore[misc]
    camera.stop()
    assert made <= camera.shown / 25 * 10 + 2  # by the time that the pictures tell
    for jpeg in jpegs_of(bytes(read[0])):
        rgb = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert rgb is not None
        assert rgb.shape == (48, 128, 3)
        assert (camera.pattern_of(rgb[:, :64]) - camera.pattern_of(rgb[:, 64:])) % 8 == 1


def test_an_unknown_view_is_refused(serve: Serve) -> None:
    server = serve(Camera(), silent=True)
    for path in (PATH, MP4, "/live/gate.mjpeg"):
        answer = ask(server, f"{path}?view=dusk")
        assert (answer.status, answer.read()) == (400, b"view is one of day, night, pair\n")


def test_a_viewer_leaves_also_where_its_work_overhears_that_it_is_cancelled() -> None:
    """As ``asyncio.wait_for`` does in Python 3.11 and before, when both come at once."""

    class Pieces:
        left = False

        def leave(self) -> None:
            self.left = True

    async def run() -> None:
        pieces: Any = Pieces()

        async def work() -> None:
            while not pieces.left:
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()

        async def gone() -> None:
            await asyncio.sleep(0)

        await asyncio.wait_for(over_http.until_gone(work(), gone(), pieces), WAIT)

    asyncio.run(run())
