"""Cameras behind TLS: every certificate is taken, or that one alone which ``ca`` names."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nightday.pipeline.sources.rtsp import NOT_RTSP
from tests.faults.camera import Camera
from tests.pipeline.sources.test_http_sources import stream
from tests.support.clips import make_clip
from tests.support.hls_server import HlsServer
from tests.support.http_camera import HttpCamera, jpeg, multipart, whole
from tests.support.rtsp_server import RtspServer
from tests.support.tls_front import TlsFront, certificate

Cameras = dict[str, tuple[str, dict[str, Any]]]
KINDS = ("snapshot", "multipart", "clip", "rtsps", "hls")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("own") / "camera.pem")


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("another") / "camera.pem")


@pytest.fixture(scope="module")
def cameras(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cameras]:
    """Address and options of a camera of each kind, all with the certificate ``own``."""
    folder, stop = tmp_path_factory.mktemp("cameras"), threading.Event()
    make_clip(folder / "clip.mp4", 30)

    def elsewhere(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", plain.url("/snapshot"))
        request.send_header("Content-Length", "0")
        request.end_headers()

    with ExitStack() as stack:
        plain = stack.enter_context(
            HttpCamera(
                {
                    "/snapshot": whole(jpeg(90), "image/jpeg"),
                    "/multipart": lambda request: multipart(stream("usual", stop))(request),
                    "/clip": whole((folder / "clip.mp4").read_bytes(), "video/mp4"),
                    "/elsewhere": elsewhere,
                }
            )
        )
        stack.callback(stop.set)
        rtsp, hls = stack.enter_context(RtspServer(record=folder)), stack.enter_context(HlsServer())
        port = int(plain.url("").rpartition(":")[2])
        fronts = [stack.enter_context(TlsFront(one, own)) for one in (port, rtsp.port, hls.port)]
        https, rtsps, piecewise = (front.port for front in fronts)
        yield {
            "snapshot": (f"https://127.0.0.1:{https}/snapshot", {"every_s": 0.2}),
            "multipart": (f"https://127.0.0.1:{https}/multipart", {}),
            "clip": (f"https://127.0.0.1:{https}/clip", {}),
            "elsewhere": (f"https://127.0.0.1:{https}/elsewhere", {"every_s": 0.2}),
            "rtsps": (f"rtsps://127.0.0.1:{rtsps}/cam", {}),
            "hls": (f"https://127.0.0.1:{piecewise}/live.m3u8", {}),
        }


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_nobody_knows_is_taken_unless_one_is_named(cameras: Cameras, kind: str) -> None:
    url, options = cameras[kind]
    with Camera(url, **options) as camera:
        camera.slot.wait_for(2)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "hls"])
def test_the_certificate_that_is_named_is_taken_and_no_other(
    cameras: Cameras, own: Path, another: Path, kind: str
) -> None:
    url, options = cameras[kind]
    with Camera(url, ca=own, **options) as camera:
        camera.slot.wait_for(2)
    with Camera(url, ca=another, **options) as camera:
        event = camera.events.wait_for(lambda event: event.state in ("retrying", "playing"))
    assert event.reason == "failed"
    assert event.detail.startswith(f"its certificate does not pass with {another} (self-signed certificate);")
    assert not camera.slot.frames


def test_the_name_in_a_certificate_counts(cameras: Cameras, own: Path) -> None:
    url, options = cameras["snapshot"]
    with Camera(url.replace("127.0.0.1", "localhost"), ca=own, **options) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert "certificate is not valid for 'localhost'" in event.detail


def test_what_cannot_be_checked_is_refused(cameras: Cameras, own: Path) -> None:
    """FFmpeg fetches the pieces of a playlist without looking at a certificate."""
    with Camera(cameras["hls"][0], ca=own) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.reason == "unsupported"
    assert "leave it out, or read the camera by rtsps://" in event.detail


def test_a_redirect_does_not_lead_away_from_tls(cameras: Cameras, own: Path) -> None:
    url, options = cameras["elsewhere"]
    with Camera(url, **options) as camera:
        camera.slot.wait_for(1)
    with Camera(url, ca=own, **options) as camera:
        event = camera.events.wait_for(lambda event: event.state in ("retrying", "playing"))
    assert event.detail.endswith("a redirect is not followed where `ca` is given")


@pytest.mark.parametrize(
    ("scheme", "detail"), [("https", "begins with http://"), ("rtsps", "begins with rtsp://")]
)
def test_one_that_does_not_encrypt_is_told_as_that(scheme: str, detail: str) -> None:
    with HttpCamera({}) as server:
        url = server.url("/video").replace("http", scheme)
        with Camera(url) as camera:
            event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert event.detail.startswith("it does not answer by TLS (")
    assert event.detail.endswith(detail)


def test_one_that_speaks_no_rtsp_is_told_as_that() -> None:
    with HttpCamera({}) as server, Camera(server.url("/video").replace("http", "rtsp")) as camera:
        event = camera.events.wait_for(lambda event: event.state == "retrying")
    assert (event.reason, event.detail) == ("failed", NOT_RTSP)
