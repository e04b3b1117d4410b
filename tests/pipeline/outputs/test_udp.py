"""MPEG-TS over UDP, received by ffmpeg."""

from __future__ import annotations

import errno
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from nightday.pipeline.core.backoff import Backoff
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs import udp
from nightday.pipeline.outputs.encoding.encoder import KEYFRAME_SECONDS, Encoder
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.output import Output
from nightday.pipeline.outputs.registry import open_output, output_fault
from nightday.pipeline.outputs.udp import DATAGRAM, TS_PACKET, Target, target_of
from tests.faults.feeding import FRAME, RATE, Camera, states
from tests.support.media_helpers import (
    OutputEvents,
    WatchedStats,
    camera_pts,
    ffmpeg_complaints,
    ffprobe,
    packet_pts,
    picture,
)
from tests.support.ports import lasting_port
from tests.support.rtsp_server import WAIT

SOON = Backoff(first=0.05, cap=0.1, floor=0.0)
CLOCK = 90_000  # ticks of MPEG-TS a second
SILENCE = 2  # seconds after which ffmpeg takes a stream for ended
HELD = 2  # pictures that ffmpeg holds back, until it sees where the next one begins
KEYFRAME = round(KEYFRAME_SECONDS * RATE)  # pictures from a key frame to the next


class Receiver:
    """ffmpeg, which records a port to ``path`` and tells the PTS of each packet; listening once entered.

    It ends by itself when nothing comes any more, and is waited for.
    """

    def __init__(self, port: int, path: Path, *, probe_seconds: float = 0.2) -> None:
        self.port, self.path = port, path
        self._probe = str(round(probe_seconds * 1_000_000))
        self.pts: list[int] = []
        self._came = threading.Condition()

    def __enter__(self) -> Receiver:
        command = [
            "ffmpeg",
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-analyzeduration",
            self._probe,
            "-fpsprobesize",
            "0",
        ]
        command += ["-copyts", "-i", f"udp://127.0.0.1:{self.port}?timeout={SILENCE * 1_000_000}"]
        record = ["-c", "copy", "-mpegts_copyts", "1", "-flush_packets", "1", "-f", "mpegts", str(self.path)]
        tell = ["-c", "copy", "-flush_packets", "1", "-f", "framecrc", "-"]
        self._process = subprocess.Popen([*command, *record, *tell], stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        deadline, bound = time.monotonic() + WAIT, f":{self.port:04X} "
        while not any(bound in line for line in Path("/proc/net/udp").read_text().splitlines()):
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for the end of the recording, which comes after ``SILENCE``."""
        try:
            self._process.wait(WAIT)
        finally:
            self._process.kill()
            self._process.wait(WAIT)
            self._thread.join(WAIT)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("#"):
                assert not line.startswith("#tb 0:") or line.split()[-1] == f"1/{CLOCK}"
                continue
            with self._came:
                self.pts.append(int(line.split(",")[2]))
                self._came.notify_all()

    def wait_for(self, count: int) -> None:
        with self._came:
            came = self._came.wait_for(lambda: len(self.pts) >= count, WAIT)
        assert came, f"{len(self.pts)} of {count} packets came"


@pytest.fixture
def port() -> int:
    """A port that nobody listens to."""
    return lasting_port(socket.SOCK_DGRAM)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """PTS of every picture that went through the encoder, and whether it became a key frame."""
    seen: list[tuple[int, bool]] = []
    genuine = Encoder.encode

    def noted(self: Encoder, shown: Picture, *, key: bool = False) -> list[av.Packet[VideoStream]]:
        packets = genuine(self, shown, key=key)
        seen.append((shown.frame.pts, packets[0].is_keyframe))
        return packets

    monkeypatch.setattr(Encoder, "encode", noted)
    return seen


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """A socket that takes datagrams as they come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", port))
        receiver.settimeout(WAIT)
        yield receiver


def opened(url: str, events: OutputEvents, stats: WatchedStats, **options: Any) -> Output:
    return open_output(url, camera="gate", stats=stats, publish=events, backoff=SOON, **options)


def send_all(output: Output, pictures: list[Picture], *others: Output) -> None:
    """At the camera's rate: whoever sends faster than a receiver reads loses datagrams."""
    never = threading.Event()
    for shown in pictures:
        for each in (output, *others):
            assert each.put_wait(shown, cancelled=never)
        never.wait(1 / RATE)


@pytest.mark.slow
def test_a_receiver_gets_every_picture_with_its_pts_while_files_begin_anew(port: int, tmp_path: Path) -> None:
    events, stats = OutputEvents(), WatchedStats()
    base = Fraction(1, 12_800)
    sent = [1_000_000 + number * 517 + number % 3 for number in range(60)]
    shared, template = SharedEncoder(), str(tmp_path / "files" / "x.mp4")
    with Receiver(port, tmp_path / "out.ts") as receiver:
        output = opened(f"udp://127.0.0.1:{port}", events, stats, encoder=shared)
        recording = opened(template, OutputEvents(), WatchedStats(), encoder=shared, segment_seconds=1)
        more = [sent[-1] + number * 512 for number in range(1, HELD + 1)]
        send_all(output, [picture(pts, time_base=base) for pts in sent + more], recording)
        receiver.wait_for(len(sent))
        assert output.close(WAIT)
        assert recording.close(WAIT)
    assert len(receiver.pts) - len(sent) in range(HELD + 1)
    for came, pts in zip(receiver.pts, sent + more, strict=False):
        assert abs(came - pts * base * CLOCK) <= Fraction(1, 2)
    assert packet_pts(tmp_path / "out.ts") == receiver.pts
    files = list((tmp_path / "files").iterdir())
    assert len(files) >= 2
    assert {packet_pts(path)[0] for path in files} == {0}
    assert sorted(pts for path in files for pts in camera_pts(path)) == sent + more
    assert ffmpeg_complaints(tmp_path / "out.ts") == ""
    assert states(events) == ["writing", "closed"]
    assert stats.snapshot().dropped == {}


@pytest.mark.slow
def test_a_receiver_joins_in_mid_stream_at_a_key_frame(
    port: int, tmp_path: Path, encoded: list[tuple[int, bool]]
) -> None:
    events, stats = OutputEvents(), WatchedStats()
    output = opened(f"udp://127.0.0.1:{port}", events, stats)
    send_all(output, [picture(number * FRAME) for number in range(10)])
    with Receiver(port, tmp_path / "out.ts", probe_seconds=2 * KEYFRAME_SECONDS) as receiver:
        send_all(output, [picture(number * FRAME) for number in range(10, 3 * KEYFRAME)])
        receiver.wait_for(RATE)
    assert output.close(WAIT)
    pictures = [came // 3600 for came in receiver.pts]
    assert pictures[0] > 0
    assert pictures[0] * FRAME in [pts for pts, key in encoded if key]
    assert pictures == list(range(pictures[0], pictures[0] + len(pictures)))
    assert ffmpeg_complaints(tmp_path / "out.ts") == ""


@pytest.mark.slow
def test_a_receiver_that_is_not_there_costs_nothing_and_all_outputs_share_one_encode(
    port: int, tmp_path: Path, encoded: list[tuple[int, bool]]
) -> None:
    shared, watched = SharedEncoder(), [(OutputEvents(), WatchedStats()) for _ in range(3)]
    urls = [f"udp://127.0.0.1:{port}", f"udp://127.0.0.1:{port}?pkt_size=188", str(tmp_path / "all.mp4")]
    outputs = [
        opened(url, events, stats, encoder=shared) for url, (events, stats) in zip(urls, watched, strict=True)
    ]
    with Camera(*outputs) as camera:
        for _ in range(2 * RATE):
            assert camera.tick.acquire(timeout=WAIT)
    assert [pts for pts, _ in encoded] == camera.sent
    assert camera_pts(tmp_path / "all.mp4") == camera.sent
    for events, stats in watched:
        assert states(events) == ["writing", "closed"]
        assert stats.snapshot().dropped == {}


@pytest.mark.slow
def test_a_new_size_begins_a_new_stream_on_the_same_port(port: int, tmp_path: Path) -> None:
    events, stats = OutputEvents(), WatchedStats()
    small = [picture(number * FRAME, size=(64, 48)) for number in range(1, 31)]
    large = [picture(number * FRAME, size=(97, 81)) for number in range(31, 61)]
    with Receiver(port, tmp_path / "out.ts") as receiver:
        output = opened(f"udp://127.0.0.1:{port}", events, stats)
        send_all(output, small + large)
        receiver.wait_for(60 - HELD)
        assert output.close(WAIT)
    count = len(receiver.pts)
    assert receiver.pts == [number * 3600 for number in range(1, count + 1)]
    frames = ffprobe(tmp_path / "out.ts", "frame=width,height")["frames"]
    sizes = [(frame["width"], frame["height"]) for frame in frames if "width" in frame]
    assert sizes == [(64, 48)] * 30 + [(96, 80)] * (count - 30)
    assert states(events) == ["writing", "closed"]


@pytest.mark.parametrize(("options", "largest"), [("", DATAGRAM), ("?pkt_size=564", 564)])
def test_datagrams_hold_whole_packets(port: int, options: str, largest: int) -> None:
    with listening(port) as receiver:
        output = opened(f"udp://127.0.0.1:{port}{options}", OutputEvents(), WatchedStats())
        noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
        output.offer(picture(FRAME, rgb=noise))
        assert output.close(WAIT)
        receiver.setblocking(False)
        datagrams: list[bytes] = []
        while True:
            try:
                datagrams.append(receiver.recv(65_536))
            except BlockingIOError:
                break
    assert len(datagrams) > 20
    assert {len(datagram) for datagram in datagrams[:-1]} == {largest}
    assert 0 < len(datagrams[-1]) <= largest
    data = b"".join(datagrams)
    assert len(data) % TS_PACKET == 0
    assert set(data[::TS_PACKET]) == {0x47}  # each begins with MPEG-TS's sync byte


@pytest.mark.parametrize("generated", [True, False])
def test_the_service_says_how_to_tell_generated_pictures(port: int, generated: bool, tmp_path: Path) -> None:
    with listening(port) as receiver:
        options = {"generated": generated}
        output = opened(f"udp://127.0.0.1:{port}", OutputEvents(), WatchedStats(), **options)
        output.offer(picture(FRAME))
        data = receiver.recv(65_536)
        assert output.close(WAIT)
    (tmp_path / "out.ts").write_bytes(data)
    note = b"nightday-stream: pictures marked 'synthetic day' are generated"
    assert (note in data) == generated
    assert b"nightday-stream" in data


def test_a_multicast_group_is_sent_to_with_the_ttl_asked_for() -> None:
    for host, level, option in (
        ("239.0.0.1", socket.IPPROTO_IP, socket.IP_MULTICAST_TTL),
        ("ff05::1", socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS),
    ):
        made, address = udp._open_socket(Target(host, 1234, ttl=4))
        with made:
            assert made.getsockopt(level, option) == 4
        assert address[:2] == (host, 1234)


@pytest.mark.slow
def test_a_network_that_is_down_is_tried_again(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, down = udp._open_socket, threading.Event()
    down.set()

    def open_socket(target: Target) -> tuple[socket.socket, tuple[Any, ...]]:
        if down.is_set():
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return genuine(target)

    monkeypatch.setattr(udp, "_open_socket", open_socket)
    events, stats = OutputEvents(), WatchedStats()
    with Camera(opened(f"udp://127.0.0.1:{port}", events, stats)):
        assert events.wait_for(lambda event: event.state == "retrying").reason == "unreachable"
        down.clear()
        events.wait_for(lambda event: event.state == "writing")
    assert states(events) == ["retrying", "writing", "closed"]


def test_a_host_that_nobody_knows_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    events = OutputEvents()
    output = opened("udp://nowhere.invalid:1234", events, WatchedStats())
    output.offer(picture(FRAME))
    event = events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == "unreachable"
    assert event.detail.startswith("the name nowhere.invalid does not resolve (Name or service not known): ")
    assert output.close(WAIT)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("udp://10.0.0.5:1234", Target("10.0.0.5", 1234)),
        ("UDP://screen.local:1/", Target("screen.local", 1)),
        ("udp://[fd00::2]:65535", Target("fd00::2", 65_535)),
        ("udp://239.0.0.1:1234?ttl=4&pkt_size=188", Target("239.0.0.1", 1234, ttl=4, datagram=188)),
    ],
)
def test_addresses_that_are_right(address: str, target: Target) -> None:
    assert output_fault(address) is None
    assert target_of(CameraUrl(address)) == target


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("udp://", "no host; use udp://host:1234"),
        ("udp://:1234", "no host; use udp://host:1234"),
        ("udp://10.0.0.5", "has no usable port after the host; give a number from 1 to 65535"),
        ("udp://10.0.0.5:", "has no usable port after the host"),
        ("udp://10.0.0.5:0", "has no usable port after the host"),
        ("udp://10.0.0.5:65536", "has no usable port after the host"),
        ("udp://10.0.0.5:letmein99", "has no usable port after the host"),
        ("udp://[fd00::2:1234", "its host cannot be read"),
        ("udp://viewer:letmein99@10.0.0.5:1234", "UDP has no login and no path"),
        ("udp://10.0.0.5:1234/day", "UDP has no login and no path"),
        ("udp://239.0.0.1:1234?ttl=0", "ttl must be a number from 1 to 255"),
        ("udp://239.0.0.1:1234?ttl=256", "ttl must be a number from 1 to 255"),
        ("udp://239.0.0.1:1234?ttl=²", "ttl must be a number from 1 to 255"),
        ("udp://239.0.0.1:1234?ttl", "ttl must be a number from 1 to 255"),
        ("udp://10.0.0.5:1234?pkt_size=1400", "pkt_size must be a multiple of 188 up to 65424"),
        ("udp://10.0.0.5:1234?pkt_size=0", "pkt_size must be a multiple of 188"),
        ("udp://10.0.0.5:1234?pkt_size=65612", "pkt_size must be a multiple of 188"),
        (
            "udp://10.0.0.5:1234?localaddr=1.2.3.4",
            "'localaddr' is not an option of UDP here; use ttl or pkt_size",
        ),
    ],
)
def test_addresses_that_are_wrong(address: str, said: str) -> None:
    fault = output_fault(address)
    assert fault is not None
    assert f": {said}" in fault
    assert "letmein99" not in fault
