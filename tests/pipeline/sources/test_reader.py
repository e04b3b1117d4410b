"""The reader against a real RTSP server and real files."""

from __future__ import annotations

import logging
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.media.clock_watch import ClockWatch
from nightday.pipeline.sources.base import ConnectionSettings, Decoded, SourceLostError
from nightday.pipeline.sources.connection import FFmpegConnection
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.sources.packets import Arrival
from nightday.pipeline.sources.reader import GOOD_RUN, UNAUTHORISED_BACKOFF
from nightday.pipeline.sources.steady_size import SIZE_FRAMES, SIZE_SECONDS, SteadySize
from tests.faults import camera
from tests.support.media_helpers import FakeClock, KeepingSlot, clip_pts
from tests.support.ports import lasting_port
from tests.support.rtsp_server import CLIP, WAIT, RtspServer

PASSWORD = "Tr0ub4dor"


class Camera(camera.Camera):
    """A reader with everything around it; of a file as well."""

    def __init__(self, source: str | Path, **options: Any) -> None:
        super().__init__(str(source), **options)

    def run_to_end(self) -> list[Frame]:
        self.reader.start()
        self.reader.join(30)
        assert not self.reader.is_alive()
        return self.slot.frames


def in_state(state: str, reason: str | None = None) -> Any:
    return lambda event: event.state == state and event.reason == reason


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)
        yield listener


@pytest.fixture
def dead_port() -> int:
    """A port nobody listens on."""
    return lasting_port()


def rising(frames: list[Frame]) -> bool:
    return all(later.pts > earlier.pts for earlier, later in pairwise(frames))


# RTSP ---------------------------------------------------------------------------------------------------------


def test_rtsp_frames_are_the_clip_s_own_with_its_pace_in_their_pts(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Camera(server.url("/cam")) as camera:
        frames = camera.slot.wait_for(30)
    assert {frame.camera for frame in frames} == {"gate"}
    steps = {(later.pts - earlier.pts) * later.time_base for earlier, later in pairwise(frames)}
    with av.open(str(CLIP)) as clip:
        rate = clip.streams.video[0].average_rate
        assert rate is not None
        assert steps == {1 / rate}
        for frame, truth in zip(frames, clip.decode(video=0), strict=False):
            np.testing.assert_array_equal(frame.video.to_ndarray(), truth.to_ndarray())
    assert camera.stats.snapshot().decoded == len(camera.slot.frames)
    assert [event.state for event in camera.events] == ["playing", "stopped"]


def test_only_what_came_while_opening_is_backlog(tmp_path: Path) -> None:
    """Frames that piled up come at once and are old; from the first that keeps its pace on it is overload."""
    with RtspServer(record=tmp_path) as server, Camera(server.url("/cam")) as camera:
        camera.slot.wait_for(40)
    reasons = camera.slot.reasons
    assert reasons[0] == "backlog"
    assert reasons[-1] == "overload"
    assert reasons == sorted(reasons)  # once over, it does not come again


def test_a_login_is_used(tmp_path: Path) -> None:
    with (
        RtspServer(record=tmp_path, login=f"viewer:{PASSWORD}") as server,
        Camera(server.url("/cam", login=f"viewer:{PASSWORD}")) as camera,
    ):
        camera.slot.wait_for(2)


@pytest.mark.parametrize(
    ("path", "login", "reason"),
    [("/cam", f"viewer:{PASSWORD}", "unauthorised"), ("/nowhere", f"admin:{PASSWORD}", "not_found")],
)
def test_refusals_have_a_reason_and_no_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, login: str, reason: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        RtspServer(record=tmp_path, login="admin:another") as server,
        Camera(server.url(path, login=login)) as camera,
    ):
        event = camera.events.wait_for(in_state("retrying", reason))
        assert camera.stats.snapshot().reconnects[reason] >= 1
    assert PASSWORD not in caplog.text + repr(list(camera.events)) + event.detail
    assert not camera.stats.snapshot().up


def test_a_dead_port_is_refused_and_said_once(dead_port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock(most_waits=20)
    camera = Camera(f"rtsp://viewer:{PASSWORD}@127.0.0.1:{dead_port}/cam", clock=clock)
    camera.run_to_end()
    assert camera.stats.snapshot().reconnects == {"refused": 20}
    assert [(event.state, event.reason) for event in camera.events] == [
        ("retrying", "refused"),
        ("stopped", "refused"),
    ]
    assert len(caplog.records) == 2
    assert caplog.records[0].__dict__["event"] == "camera_retrying"
    assert PASSWORD not in caplog.text
    assert "rtsp://***@127.0.0.1" in caplog.text


def test_one_that_never_played_does_not_say_its_successor_is_down(dead_port: int) -> None:
    """They share counters when a configuration was reloaded, and a name look-up that hangs outlives the change."""
    camera = Camera(f"rtsp://127.0.0.1:{dead_port}/cam", clock=FakeClock(most_waits=3))
    camera.stats.set_up(True)
    camera.run_to_end()
    assert camera.stats.snapshot().up


def test_a_silent_server_times_out(silent: socket.socket) -> None:
    with Camera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam", open_timeout=0.3) as camera:
        camera.events.wait_for(in_state("retrying", "timeout"))


def test_a_camera_down_at_start_joins_later(tmp_path: Path, dead_port: int) -> None:
    server = RtspServer(record=tmp_path, port=dead_port)
    with Camera(server.url("/cam")) as camera:
        camera.events.wait_for(in_state("retrying", "refused"))
        with server:
            camera.slot.wait_for(3)
    assert camera.reader.event.state == "stopped"


def test_a_killed_server_that_returns_is_joined_again_and_pts_rise(tmp_path: Path) -> None:
    server = RtspServer(record=tmp_path)
    with server, Camera(server.url("/cam")) as camera:
        before = len(camera.slot.wait_for(10))
        server.kill()
        camera.events.wait_for(lambda event: event.state == "retrying")
        assert not camera.stats.snapshot().up
        before = len(camera.slot.frames)
        with server:
            frames = camera.slot.wait_for(before + 20)
    assert rising(frames)
    gap = (frames[before].pts - frames[before - 1].pts) * frames[0].time_base
    elapsed = frames[before].decoded_at - frames[before - 1].decoded_at
    assert float(gap) == pytest.approx(elapsed, abs=0.5)


def test_dropped_connections_are_made_again(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Camera(server.url("/cam")) as camera:
        for number in range(1, 4):
            camera.wait_playing(number)
            server.command("drop")
            server.expect("dropped")
        camera.wait_playing(4)
        frames = camera.slot.wait_for(len(camera.slot.frames) + 10)
    assert rising(frames)
    assert camera.stats.snapshot().reconnects["end_of_stream"] >= 3


def test_a_stream_that_ends_is_joined_again(tmp_path: Path) -> None:
    with (
        RtspServer(record=tmp_path, loops=1, clip=short_clip(tmp_path, 20)) as server,
        Camera(server.url("/cam")) as camera,
    ):
        frames = camera.slot.wait_for(50)
    assert rising(frames)
    assert camera.stats.snapshot().reconnects["end_of_stream"] >= 2


def test_a_stall_is_seen_though_the_connection_stays_open(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Camera(server.url("/cam"), stall_timeout=0.5) as camera:
        camera.slot.wait_for(5)
        server.command("stall")
        camera.events.wait_for(in_state("retrying", "stall"))


# Ending -------------------------------------------------------------------------------------------------------


def test_it_stops_at_once_while_connecting(silent: socket.socket) -> None:
    with Camera(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam", open_timeout=60.0) as camera:
        connection, _ = silent.accept()
    connection.close()
    assert camera.reader.event.state == "stopped"


def test_it_stops_at_once_while_a_camera_stalls(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server, Camera(server.url("/cam"), stall_timeout=60.0) as camera:
        camera.slot.wait_for(5)
        server.freeze()
        camera.slot.wait_quiet()


def test_it_stops_while_waiting_to_retry(dead_port: int) -> None:
    slowly = Backoff(first=600.0, cap=600.0, floor=600.0)
    with Camera(f"rtsp://127.0.0.1:{dead_port}/cam", backoff=slowly) as camera:
        camera.events.wait_for(in_state("retrying", "refused"))


def test_it_stops_while_nobody_takes_its_frames() -> None:
    stats = CameraStats()
    slot = LatestSlot(ready=threading.Condition(), stats=stats)
    with Camera(CLIP, slot=slot, pace="fast") as camera:
        camera.events.wait_for(in_state("playing"))


# Back-off -----------------------------------------------------------------------------------------------------


class HighestDraw(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def test_retries_slow_down_to_the_cap(dead_port: int) -> None:
    clock = FakeClock(most_waits=8)
    Camera(f"rtsp://127.0.0.1:{dead_port}/", clock=clock, backoff=Backoff(), rng=HighestDraw()).run_to_end()
    assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_refused_login_is_retried_slowly(tmp_path: Path) -> None:
    clock = FakeClock(most_waits=3)
    with RtspServer(record=tmp_path, login="admin:another") as server:
        url = server.url("/cam", login="admin:wrong")
        Camera(url, clock=clock, rng=random.Random(3), unauthorised_backoff=UNAUTHORISED_BACKOFF).run_to_end()
    assert min(clock.waits) >= 20.0


class FakeConnection:
    """A live connection whose ``count`` frames come ``seconds`` apart on a clock that they move."""

    time_base, frame_seconds = Fraction(1, 90_000), 0.04

    def __init__(self, clock: FakeClock, *, count: int, seconds: float, stamps: bool = True) -> None:
        self.clock_watch = ClockWatch()
        self._clock, self._count, self._seconds, self._stamps = clock, count, seconds, stamps

    def frames(self) -> Iterator[Decoded]:
        for number in range(self._count):
            video = av.VideoFrame(64, 48, "yuv420p")
            video.pts = round(number * self._seconds * 90_000) if self._stamps else 1000
            yield Decoded(video, self._clock.now, on_time=True)
            self._clock.now += self._seconds


def opening(monkeypatch: pytest.MonkeyPatch, *tries: FakeConnection | None) -> None:
    """Have the reader's tries end in these connections; None refuses."""
    left = iter(tries)

    def open_source(*_: Any) -> Any:
        if (connection := next(left, None)) is None:
            raise SourceLostError("refused", "nobody there")
        return nullcontext(connection)

    monkeypatch.setattr("nightday.pipeline.sources.reader.open_source", open_source)


def test_a_good_run_resets_the_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five refusals, a long run or a short one, and the end."""
    for seconds, expected in ((1.1 * GOOD_RUN, 1.0), (0.9 * GOOD_RUN, 30.0)):
        clock = FakeClock(most_waits=6)
        run = FakeConnection(clock, count=301, seconds=seconds / 300)
        opening(monkeypatch, *[None] * 5, run)
        camera = Camera("rtsp://10.0.0.1/", clock=clock, backoff=Backoff(), rng=HighestDraw())
        assert len(camera.run_to_end()) == 301
        assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0, expected]


def test_a_clock_that_is_not_believed_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Over two connections on which the clock stands still, and shown until a connection where it does not."""
    clock = FakeClock(most_waits=4)
    stuck = [FakeConnection(clock, count=100, seconds=0.04, stamps=False) for _ in range(2)]
    opening(monkeypatch, *stuck, None)
    camera = Camera(f"rtsp://viewer:{PASSWORD}@10.0.0.1/", clock=clock)
    frames = camera.run_to_end()
    assert len(frames) == 200
    assert camera.reader.doubts.clock == "its clock stands still"
    said = [record for record in caplog.records if getattr(record, "event", "") == "clock_not_believed"]
    assert len(said) == 1
    assert "rtsp://***@10.0.0.1" in said[0].getMessage()
    assert PASSWORD not in caplog.text
    first = frames[:100]
    length = float((first[-1].pts - first[0].pts) * first[0].time_base)
    assert length == pytest.approx(99 * 0.04, abs=0.04)


# Overload -----------------------------------------------------------------------------------------------------


class BusySlot(KeepingSlot):
    """Keeps every frame, and says for the first ``untaken`` of them that nobody took the one before."""

    untaken = 100

    @property
    def pending(self) -> bool:
        return len(self.frames) < self.untaken


@pytest.mark.parametrize("stall_timeout", [10.0, 0.15])  # longer and shorter than from key frame to key frame
def test_what_nobody_takes_is_not_decoded_and_what_is_decoded_is_as_good_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stall_timeout: float
) -> None:
    """From all frames to those others refer to, to key frames, and back, with each picture as it is in the clip."""
    packets = 2500
    path = moving_clip(tmp_path / "moving.mp4", packets)
    clock = FakeClock(most_waits=1)

    def arrivals(container: av.container.InputContainer) -> Iterator[Arrival]:
        for packet in container.demux(video=0):
            clock.now += 0.04
            yield Arrival(packet, clock.now, waited=0.03)

    @contextmanager
    def open_source(_: object, settings: ConnectionSettings) -> Iterator[FFmpegConnection]:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            yield FFmpegConnection(stream, arrivals(container), settings=settings, clock_watch=ClockWatch())

    monkeypatch.setattr("nightday.pipeline.sources.reader.open_source", open_source)
    stats = CameraStats()
    slot = BusySlot(stats)
    camera = Camera("rtsp://10.0.0.1/", clock=clock, slot=slot, stall_timeout=stall_timeout)
    frames = camera.run_to_end()
    with av.open(str(path)) as clip:
        truth = {video.pts: video for video in clip.decode(video=0)}
    for frame in frames:
        np.testing.assert_array_equal(frame.video.to_ndarray(), truth[frame.pts].to_ndarray())
    steps = [later.pts - earlier.pts for earlier, later in pairwise(frames)]
    kinds = [step // steps[0] for step in steps]
    phases = [kind for number, kind in enumerate(kinds) if number < 1 or kind != kinds[number - 1]]
    assert phases[0] == phases[-1] == 1
    assert {2, 25} < set(phases)
    dropped = camera.stats.snapshot().dropped
    assert set(dropped) == {"skipped"}
    assert len(frames) + dropped["skipped"] == packets


def moving_clip(path: Path, frames: int) -> Path:
    """A pattern that moves, a key frame every 25 frames, and every other frame one that no other refers to."""
    pattern = np.add.outer(np.arange(48) * 3, np.arange(64) * 2).astype(np.uint8)
    options = {"preset": "veryfast", "x264-params": "bframes=1:b-adapt=0:scenecut=0:keyint=25:min-keyint=25"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            image = np.full((72, 64), 128, np.uint8)
            image[:48] = np.roll(pattern, number, axis=1) + np.uint8(number % 100)
            video = av.VideoFrame.from_ndarray(image, format="yuv420p")
            video.pts = number
            container.mux(stream.encode(video))
        container.mux(stream.encode(None))
    return path


# Damage -------------------------------------------------------------------------------------------------------


def test_a_size_that_only_damage_made_is_not_believed() -> None:
    size = SteadySize()
    small, wrong = (96, 64), (16, 96)
    assert size.accepts(small, 0.0)  # whatever a connection begins with
    for number in range(4 * SIZE_FRAMES):
        if number % SIZE_FRAMES == SIZE_FRAMES - 1:
            size.saw_error()
        assert not size.accepts(wrong, 1.0 + number / 25)
    assert size.accepts(small, 3.0)
    taken = [size.accepts(wrong, 4.0 + number / 25) for number in range(2 * SIZE_FRAMES)]
    assert taken == [False] * SIZE_FRAMES + [True] * SIZE_FRAMES


def test_a_new_size_is_believed_in_the_end_though_damage_goes_on() -> None:
    size = SteadySize()
    assert size.accepts((96, 64), 0.0)
    taken = []
    for number in range(200):
        size.saw_error()
        taken.append(size.accepts((160, 96), number / 25))
    assert taken == [number / 25 >= SIZE_SECONDS for number in range(200)]


# Files --------------------------------------------------------------------------------------------------------


def short_clip(folder: Path, packets: int) -> Path:
    """The first ``packets`` packets of the clip, as an MP4 of their own."""
    path = folder / f"short{packets}.mp4"
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if number == packets:
                break
            packet.stream = stream
            copy.mux(packet)
    return path


def test_fast_is_lossless_through_a_real_slot() -> None:
    stats = CameraStats()
    ready = threading.Condition()
    slot = LatestSlot(ready=ready, stats=stats)
    camera = Camera(CLIP, slot=slot, pace="fast")
    taken: list[int] = []
    with camera:
        while camera.reader.is_alive() or slot.pending:
            with ready:
                ready.wait_for(lambda: slot.pending, timeout=0.05)
                if (frame := slot.take()) is not None:
                    taken.append(frame.pts)
    assert taken == clip_pts(CLIP)
    assert stats.snapshot().dropped == {}
    assert camera.reader.event.state == "finished"


def test_a_file_plays_at_its_own_pace_without_drift() -> None:
    clock = FakeClock()
    camera = Camera(CLIP, clock=clock)
    frames = camera.run_to_end()
    assert [frame.pts for frame in frames] == clip_pts(CLIP)
    began = frames[0].decoded_at
    for frame in frames:
        assert frame.decoded_at - began == pytest.approx(float(frame.pts * frame.time_base), abs=1e-6)
        assert frame.wall_time - frame.decoded_at == pytest.approx(1_700_000_000.0)
    assert [event.state for event in camera.events] == ["playing", "finished"]


def test_a_late_file_catches_up_instead_of_drifting() -> None:
    clock = FakeClock(tick=0.003)  # every look at the clock costs time, so that each wait comes out too long
    frames = Camera(CLIP, clock=clock).run_to_end()
    late = frames[-1].decoded_at - frames[0].decoded_at - float(frames[-1].pts * frames[-1].time_base)
    assert -1e-6 < late < 0.04


def test_a_loop_goes_on_evenly() -> None:
    length = len(clip_pts(CLIP))
    with Camera(CLIP, clock=FakeClock(), loop=True) as camera:
        frames = camera.slot.wait_for(2 * length + 10)
    steps = {later.pts - earlier.pts for earlier, later in pairwise(frames)}
    assert steps == {512}
    assert [event.state for event in camera.events] == ["playing", "stopped"]
    assert camera.stats.snapshot().reconnects == {}


def test_corrupt_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    with av.open(str(CLIP)) as clip:
        packets = [(packet.pos, packet.size) for packet in clip.demux(video=0) if packet.size]
    data = bytearray(CLIP.read_bytes())
    for position, size in packets[100:103]:
        data[position : position + size] = b"\xff" * size
    corrupt = tmp_path / "corrupt.mp4"
    corrupt.write_bytes(data)
    camera = Camera(corrupt, pace="fast")
    frames = camera.run_to_end()
    assert camera.stats.snapshot().dropped == {"decode_error": 3}
    assert len(frames) == len(packets) - 3
    assert rising(frames)
    assert camera.reader.event.state == "finished"


def test_files_that_cannot_be_read_fail_with_a_reason(tmp_path: Path) -> None:
    notes = tmp_path / "notes.mp4"
    notes.write_text("no video here\n" * 100)
    for path, reason in ((tmp_path / "gone.mp4", "not_found"), (notes, "decode")):
        camera = Camera(path, loop=True)
        assert camera.run_to_end() == []
        assert camera.reader.event.state == "failed"
        assert camera.reader.event.reason == reason


def test_a_play_list_cannot_reach_out_of_a_file(tmp_path: Path, silent: socket.socket) -> None:
    """An HLS list under a video's name must not make the reader open an address it was not given."""
    trap = tmp_path / "trap.mp4"
    trap.write_text(f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{silent.getsockname()[1]}/x.ts\n#EXT-X-ENDLIST\n")
    camera = Camera(trap)
    camera.run_to_end()
    assert (camera.reader.event.state, camera.reader.event.reason) == ("failed", "decode")
    silent.settimeout(0)
    with pytest.raises(BlockingIOError):
        silent.accept()
