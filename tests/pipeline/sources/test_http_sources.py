"""What cameras do over HTTP: snapshots, multipart streams of their own kind, clips."""

from __future__ import annotations

import hashlib
import http.server
import itertools
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from nightday.engines.video.look import upright
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.host_names import unresolved
from nightday.pipeline.sources import snapshots
from tests.faults.camera import Camera
from tests.support.clips import make_clip
from tests.support.http_camera import Answer, HttpCamera, jpeg, multipart, whole, with_digest
from tests.support.media_helpers import clip_pts

PASSWORD = "Tr0ub4%41dor"


def greys(camera: Camera) -> list[int]:
    """The grey of each picture that came."""
    return [round(float(np.mean(frame.video.to_ndarray(format="gray")))) for frame in camera.slot.frames]


# Snapshots ----------------------------------------------------------------------------------------------------


def snapshot_that_counts() -> Answer:
    """Answers a picture that is ten levels brighter each time."""
    numbers = itertools.count(3)
    return lambda request: whole(jpeg(10 * next(numbers)), "image/jpeg")(request)


def test_a_snapshot_is_fetched_at_its_interval_and_stamped_by_our_clock() -> None:
    with (
        HttpCamera({"/snap.jpg": snapshot_that_counts()}) as server,
        Camera(server.url("/snap.jpg?channel=%2501&n=1"), every_s=0.2) as camera,
    ):
        frames = camera.slot.wait_for(5)
    assert greys(camera)[:5] == pytest.approx([30, 40, 50, 60, 70], abs=1)
    assert set(server.asked) == {"/snap.jpg?channel=%2501&n=1"}
    steps = [float((later.pts - earlier.pts) * later.time_base) for earlier, later in pairwise(frames)]
    came = [later.decoded_at - earlier.decoded_at for earlier, later in pairwise(frames)]
    assert steps == pytest.approx(came, abs=0.15)
    assert sum(steps) >= 0.75  # four intervals, the first of which may be cut short by the opening
    assert camera.events[0].state == "playing"


@pytest.mark.parametrize("right", [True, False])
def test_a_snapshot_behind_a_digest_login(right: bool) -> None:
    """The password goes out as it is meant, which is what the server computes with."""

    def accepts(given: dict[str, str]) -> bool:
        def digest(*parts: str) -> str:
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        secret = digest("viewer", "cam", PASSWORD if right else "another")
        asked = digest("GET", given["uri"])
        wanted = digest(secret, "abc", given["nc"], given["cnonce"], "auth", asked)
        return given["response"] == wanted

    login = f"viewer:{PASSWORD.replace('%', '%25')}"
    with (
        HttpCamera({"/s": with_digest(whole(jpeg(90), "image/jpeg"), accepts=accepts)}) as server,
        Camera(server.url("/s", login=login), every_s=0.1) as camera,
    ):
        if right:
            camera.slot.wait_for(3)
        else:
            event = camera.events.wait_for(lambda event: event.state == "retrying")
            assert event.reason == "unauthorised"
    assert PASSWORD not in str(list(camera.events))


@pytest.mark.parametrize("every", [0.1, None])
def test_a_kind_of_login_that_ffmpeg_does_not_know_is_named(every: float | None) -> None:
    """A camera whose digest is by SHA-256 (RFC 7616); that FFmpeg answers nothing looks like a refused password."""

    def asks(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(401)
        for algorithm in ("SHA-256", "SHA-512-256"):
            request.send_header(
                "WWW-Authenticate", f'Digest realm="a, b", qop="auth", algorithm={algorithm}, nonce="x"'
            )
        request.send_header("Content-Length", "0")
        request.end_headers()

    with (
        HttpCamera({"/s": asks}) as server,
        Camera(server.url("/s?n=1", login="viewer:s3cret"), every_s=every) as camera,
    ):
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == "unauthorised"
    assert event.detail.startswith(
        "it wants a login by digest with SHA-256 or digest with SHA-512-256, which"
    )


def test_a_lost_snapshot_now_and_then_is_nothing_and_several_are() -> None:
    """A try that fails is followed by the next at its time; after three the camera is away, and then found again."""
    fails = {2, 4, 5, 7, 8, 9}
    numbers = itertools.count()

    def answer(request: object) -> None:
        number = next(numbers)
        if number in fails:
            request.send_error(503)  # type: ignore[attr-defined]
        else:
            whole(jpeg(100), "image/jpeg")(request)  # type: ignore[arg-type]

    with HttpCamera({"/s": answer}) as server, Camera(server.url("/s"), every_s=0.05) as camera:
        camera.slot.wait_for(6)
    states = [event.state for event in camera.events]
    assert states[:3] == ["playing", "retrying", "playing"]
    assert snapshots.TRIES == 3


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize("every", [0.1, 1.0])
def test_a_snapshot_that_does_not_come_is_noticed_within_the_time_for_that(
    every: float, silent: bool
) -> None:
    """After the first, the camera takes each request and never answers it, or refuses it."""
    numbers, over, asked = itertools.count(), threading.Event(), list[float]()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(time.monotonic())
        if not next(numbers):
            whole(jpeg(100), "image/jpeg")(request)
        elif silent:
            over.wait(20)
        else:
            request.send_error(503)

    with HttpCamera({"/s": answer}) as server:
        with Camera(server.url("/s"), every_s=every, stall_timeout=0.6, open_timeout=20.0) as camera:
            event = camera.events.wait_for(lambda event: event.state == "retrying")
            noticed = time.monotonic()
        over.set()
    assert [event.state for event in camera.events][:2] == ["playing", "retrying"]
    if silent:
        assert (event.reason, event.detail) == ("stall", "no data for 0.6 s")
    # Not one try after the other with 20 s each; two seconds are for a machine with other work.
    assert noticed - asked[1] < 0.6 + 1.0 + 2.0


def test_what_is_no_jpeg_is_told() -> None:
    page = whole(b"<html>Log in, please</html>" * 50, "text/html")
    with HttpCamera({"/s": page}) as server, Camera(server.url("/s"), every_s=0.1) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == "decode"


@pytest.mark.parametrize("ending", [".png", ".bmp", ".webp"])
@pytest.mark.parametrize("every", [0.1, None])
def test_a_picture_of_another_kind_leads_to_jpeg(ending: str, every: float | None) -> None:
    picture = bytes(cv2.imencode(ending, np.full((48, 64, 3), 90, np.uint8))[1])
    with (
        HttpCamera({"/s": whole(picture, "image/x")}) as server,
        Camera(server.url("/s"), every_s=every) as camera,
    ):
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert "is no JPEG" in event.detail


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_that_says_in_its_exif_how_it_lies_is_turned_upright(orientation: int) -> None:
    """Mirrored ones as well, as OpenCV reads them."""
    corner = np.full((48, 64, 3), 40, np.uint8)
    corner[:24, :16], corner[24:, :16] = (30, 60, 220), (200, 160, 90)
    content = bytes(cv2.imencode(".jpg", corner)[1])
    entry = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + content[2:]
    with (
        HttpCamera({"/s": whole(content, "image/jpeg")}) as server,
        Camera(server.url("/s"), every_s=0.1) as camera,
    ):
        (frame, *_) = camera.slot.wait_for(1)
    pixels = np.asarray(frame.video.to_ndarray(format="bgr24"), np.uint8)
    shown = upright(pixels, frame.video).astype(np.int16)
    meant = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), np.int16)
    assert shown.shape == meant.shape
    assert np.abs(shown - meant).mean() < 4


def test_half_a_jpeg_is_no_picture() -> None:
    """FFmpeg decodes what there is, and paints the rest grey."""
    content = jpeg(90, (320, 240))
    half = whole(content[: len(content) // 2], "image/jpeg")
    with HttpCamera({"/s": half}) as server, Camera(server.url("/s"), every_s=0.1) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
        assert (event.reason, event.detail) == ("decode", "the JPEG that it answers breaks off")
        assert not camera.slot.frames


def test_every_so_often_a_picture_is_taken_of_a_stream_of_pictures() -> None:
    stop = threading.Event()
    try:
        with (
            HttpCamera({"/video": lambda request: multipart(stream("usual", stop))(request)}) as server,
            Camera(server.url("/video"), every_s=0.2, open_timeout=30.0) as camera,
        ):
            camera.slot.wait_for(3)
    finally:
        stop.set()
    assert greys(camera)[:3] == pytest.approx([20, 20, 20], abs=1)
    assert server.asked.count("/video") >= 3


def test_a_request_that_leads_nowhere_is_not_taken_for_a_clip() -> None:
    def again(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", "/s")
        request.send_header("Content-Length", "0")
        request.end_headers()

    with HttpCamera({"/s": again}) as server, Camera(server.url("/s"), every_s=0.1) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.detail.endswith("open the address in a browser")


def test_one_picture_at_the_address_of_a_video_leads_to_every_s() -> None:
    with (
        HttpCamera({"/snap.jpg": whole(jpeg(90), "image/jpeg")}) as server,
        Camera(server.url("/snap.jpg")) as camera,
    ):
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert (event.reason, event.detail) == (
        "unsupported",
        "it answers one picture, not a video; add every_s: 5 to have it fetched every 5 seconds",
    )


# Multipart ----------------------------------------------------------------------------------------------------


WRONG_PARTS = ("too short a length", "too long a length", "no type", "image/jpg")


def stream(kind: str, stop: threading.Event) -> Iterator[bytes]:
    """A part every 50 ms, the grey of each 5 levels brighter; ``kind`` says what is odd about it."""
    if kind in ("usual", *WRONG_PARTS):
        yield b"--frame\r\n"
    for number in itertools.count():
        picture = jpeg(20 + 5 * (number % 40))
        told = len(picture) + {"too short a length": -60, "too long a length": 60}.get(kind, 0)
        length = f"Content-Length: {told}\r\n\r\n".encode()
        head = {
            "no length": b"Content-Type: image/jpeg\r\n\r\n",
            "no head": b"",
            "no type": length,
            "image/jpg": b"Content-Type: image/jpg\r\n" + length,
        }.get(kind, b"Content-Type: image/jpeg\r\n" + length)
        yield head + picture + b"\r\n--frame\r\n"
        if stop.wait(0.05):
            return


@pytest.mark.parametrize("kind", ["usual", "no first boundary", "no length", "no head", *WRONG_PARTS])
def test_a_multipart_stream_is_read_whatever_it_says_of_its_parts(kind: str) -> None:
    stop = threading.Event()
    try:
        with (
            HttpCamera({"/video": lambda request: multipart(stream(kind, stop))(request)}) as server,
            Camera(server.url("/video")) as camera,
        ):
            began = time.monotonic()
            camera.slot.wait_for(10)
            took = time.monotonic() - began
    finally:
        stop.set()
    shown = greys(camera)[:10]
    first = round(shown[0] / 5) * 5
    assert shown == pytest.approx([first + 5 * number for number in range(10)], abs=1)
    assert took < 5  # FFmpeg alone looks at 4 s of bare JPEGs, and more on a busy machine
    assert [event.state for event in camera.events] == ["playing", "stopped"]


def test_rubbish_is_still_told_as_such() -> None:
    rubbish = random.Random(5).randbytes(20_000)
    with HttpCamera({"/v": whole(rubbish, "video/mp4")}) as server, Camera(server.url("/v")) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == "decode"


# Clips --------------------------------------------------------------------------------------------------------


def test_a_clip_plays_once_at_its_own_pace(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 30)  # its index stands at the end, so parts of it are asked for
    content = (tmp_path / "clip.mp4").read_bytes()
    with HttpCamera({"/clip.mp4": whole(content, "video/mp4")}) as server:
        camera = Camera(server.url("/clip.mp4"))
        began = time.monotonic()
        camera.reader.start()
        camera.reader.join(20)
        took = time.monotonic() - began
    assert [event.state for event in camera.events] == ["playing", "finished"]
    pts = clip_pts(tmp_path / "clip.mp4")
    assert [frame.pts for frame in camera.slot.frames] == pts
    time_base = camera.slot.frames[0].time_base
    assert took >= float((pts[-1] - pts[0]) * time_base)


def test_a_clip_may_loop(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 30, frames=5)
    content = (tmp_path / "clip.mp4").read_bytes()
    with (
        HttpCamera({"/clip.mp4": whole(content, "video/mp4")}) as server,
        Camera(server.url("/clip.mp4"), loop=True) as camera,
    ):
        frames = camera.slot.wait_for(12)
    assert all(later.pts > earlier.pts for earlier, later in pairwise(frames))


def test_a_clip_whose_index_cannot_be_reached_leads_to_the_way_out(tmp_path: Path) -> None:
    # Noise, so that it is larger than what FFmpeg keeps of what it has read.
    noise = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=10:d=2", "-vf", "noise=alls=80:allf=t"]
    subprocess.run(["ffmpeg", "-v", "error", *noise, str(tmp_path / "clip.mp4")], check=True, timeout=60)
    answer = whole((tmp_path / "clip.mp4").read_bytes(), "video/mp4", parts=False)
    with HttpCamera({"/clip.mp4": answer}) as server, Camera(server.url("/clip.mp4")) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.detail.endswith("-movflags +faststart new.mp4")


def test_a_name_that_does_not_resolve_is_named_and_no_part_of_a_login_is() -> None:
    with Camera("http://viewer:s3cret@no.such.host.invalid/video") as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == "unreachable"
    assert event.detail.startswith("the name no.such.host.invalid does not resolve (")
    assert unresolved(CameraUrl("http://viewer:se/cret@127.0.0.1/video")) is None
    # Where a host cannot be told from a login, none is named.
    assert unresolved(CameraUrl("http://s3cret:more@words@/x")) is None
