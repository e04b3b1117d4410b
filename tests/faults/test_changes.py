"""A camera that becomes another one while it runs: size, codec, frame rate and time base."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.sources.steady_size import SIZE_FRAMES
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import run
from tests.faults.camera import Camera, rising, size_of, steps
from tests.faults.damaged_clips import LARGE, OPTIONS, SMALL, clip
from tests.support.media_helpers import camera_pts, ffmpeg_complaints, ffprobe
from tests.support.rtsp_server import WAIT, RtspServer


def wait_size(camera: Camera, size: tuple[int, int], count: int) -> list[Frame]:
    """All frames, once ``count`` are of ``size`` (width, height)."""
    camera.wait_until(lambda: sum(size_of(frame) == size for frame in camera.slot.frames) >= count)
    return list(camera.slot.frames)


def test_a_new_resolution_in_mid_stream_comes_through_without_a_reconnect(tmp_path: Path) -> None:
    small, large = clip(tmp_path / "small.mp4"), clip(tmp_path / "large.mp4", size=LARGE)
    with RtspServer(record=tmp_path, clip=small) as server, Camera(server.url("/cam")) as camera:
        wait_size(camera, SMALL, 10)
        server.switch(large)
        frames = wait_size(camera, LARGE, 10)
        server.switch(small)
        frames = wait_size(camera, SMALL, len(frames))
    sizes = [size_of(frame) for frame in frames]
    assert [later for earlier, later in pairwise(sizes) if earlier != later] == [LARGE, SMALL]
    assert rising(frames)
    ordinary = [step for step in steps(frames) if step < 0.1]
    assert ordinary == pytest.approx([1 / 25] * len(ordinary), abs=1e-4)
    assert len(ordinary) == len(frames) - 3  # each new size is believed after a few frames
    assert max(steps(frames)) == pytest.approx((SIZE_FRAMES + 1) / 25, abs=1e-4)
    assert camera.stats.snapshot().reconnects == {}
    assert camera.stats.snapshot().dropped == {"decode_error": 2 * SIZE_FRAMES}


def test_a_new_frame_rate_in_mid_stream_keeps_its_own_steps(tmp_path: Path) -> None:
    slow, fast = clip(tmp_path / "slow.mp4", rate=10), clip(tmp_path / "fast.mp4", rate=50, size=LARGE)
    with RtspServer(record=tmp_path, clip=slow) as server, Camera(server.url("/cam")) as camera:
        wait_size(camera, SMALL, 5)
        server.switch(fast)
        frames = wait_size(camera, LARGE, 20)
    assert rising(frames)
    for size, rate in ((SMALL, 10), (LARGE, 50)):
        own = steps([frame for frame in frames if size_of(frame) == size])
        assert own == pytest.approx([1 / rate] * len(own), abs=1e-4)
    assert camera.stats.snapshot().reconnects == {}


@pytest.mark.parametrize("codec", ["libx265", "mjpeg"])
def test_a_new_codec_and_rate_come_with_the_next_connection(tmp_path: Path, codec: str) -> None:
    before = clip(tmp_path / "before.mp4")
    after = clip(tmp_path / "after.mp4", codec=codec, size=LARGE, rate=20, luma=180)
    with RtspServer(record=tmp_path, clip=before) as server, Camera(server.url("/cam")) as camera:
        wait_size(camera, SMALL, 5)
        server.switch(after)
        wait_size(camera, LARGE, 10)
        server.switch(before)
        frames = wait_size(camera, SMALL, len(camera.slot.frames))
    assert rising(frames)
    assert camera.stats.snapshot().reconnects == {"end_of_stream": 2}
    assert {
        round(frame.video.to_ndarray()[: LARGE[1]].mean(), -1) for frame in frames if size_of(frame) == LARGE
    } == {180}


class Feed:
    """An HTTP server that sends one MPEG transport stream after another over each connection, at their own pace."""

    def __init__(self, *parts: Path) -> None:
        self._parts = list(parts)
        self.requests = 0
        self.go_on = threading.Event()
        feed = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = feed.requests
                feed.requests += 1
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                try:
                    for part in feed._parts[min(number, len(feed._parts) - 1) :]:
                        feed.send(part, self.wfile.write)
                except OSError:
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/live.ts"

    def send(self, part: Path, write: Callable[[bytes], object]) -> None:
        """Send ``part`` again and again, in 20 ms pieces of its two seconds, until told to go on."""
        data = part.read_bytes()
        piece = max(188, len(data) // 188 // 100 * 188)
        while not self.go_on.is_set():
            for start in range(0, len(data), piece):
                write(data[start : start + piece])
                self.pause.wait(0.02)
        self.go_on.clear()

    def __enter__(self) -> Feed:
        self.pause = threading.Event()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause.set()
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


def test_a_new_codec_in_mid_stream_opens_the_decoder_anew(tmp_path: Path) -> None:
    before = clip(tmp_path / "before.ts", form="mpegts")
    after = clip(tmp_path / "after.ts", codec="libx265", size=LARGE, form="mpegts")
    with Feed(before, after) as feed, Camera(feed.url, stall_timeout=2.0) as camera:
        wait_size(camera, SMALL, 10)
        feed.go_on.set()
        frames = wait_size(camera, LARGE, 10)
    assert rising(frames)
    assert set(camera.stats.snapshot().reconnects) <= {"decode", "stall"}
    assert feed.requests == 1 + sum(camera.stats.snapshot().reconnects.values())


def test_a_camera_that_sends_other_streams_only_is_opened_anew(tmp_path: Path) -> None:
    """Packets of sound alone keep the connection busy and must not keep it alive."""
    both = with_sound(tmp_path / "both.ts", video=True)
    sound = with_sound(tmp_path / "sound.ts", video=False)
    with Feed(both, sound, both) as feed, Camera(feed.url, stall_timeout=1.0, open_timeout=1.0) as camera:
        camera.wait_more(10)
        feed.go_on.set()
        camera.wait_state("retrying", reason="stall")
        feed.go_on.set()
        camera.wait_playing(2)
        camera.wait_more(10)


def with_sound(path: Path, *, video: bool) -> Path:
    """Two seconds of silence as MP2, with or without a picture."""
    first = {} if video else {"mpegts_start_pid": "257"}  # the sound has the same number in both
    with av.open(str(path), "w", format="mpegts", container_options=first) as container:
        pictures = container.add_stream("libx264", rate=25, options=OPTIONS["libx264"]) if video else None
        audio = container.add_stream("mp2", rate=48000, layout="mono")
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = *SMALL, "yuv420p"
        for number in range(84):  # of 24 ms each
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = 48000, number * 1152, Fraction(1, 48000)
            container.mux(audio.encode(silence))
            if pictures is not None and number < 50:
                image = av.VideoFrame(*SMALL, "yuv420p")
                image.pts, image.time_base = number, Fraction(1, 25)
                container.mux(pictures.encode(image))
        for stream in (audio, pictures):
            container.mux(stream.encode(None) if stream is not None else [])
    return path


def test_outputs_follow_a_new_resolution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new segment, the restream announced anew, a background of the new size; the run goes on."""
    monkeypatch.chdir(tmp_path)
    small, large = clip(tmp_path / "small.mp4"), clip(tmp_path / "large.mp4", size=LARGE, luma=180)
    commands, outcomes = CommandQueue(), list[Outcome]()
    with RtspServer(record=tmp_path, clip=small) as server:
        camera = {
            "name": "gate",
            "url": server.url("/cam"),
            "translate": "never",
            "outputs": ["out/day.mp4", server.url("/day")],
            "background": {"save": "out/background.png", "every_s": 0.04, "frames": 3},
        }
        settings = Config.model_validate({"cameras": [camera]})
        thread = threading.Thread(
            target=lambda: outcomes.append(run(settings, engines={}, commands=commands))
        )
        thread.start()
        try:
            first = server.expect("recording")["path"]
            server.expect_recorded(10)
            server.switch(large)
            # The server completes the old recording beside the new one: either may be said first.
            closed, recording = server.expect_all("closed", "recording")
            assert closed["path"] == first
            second = recording["path"]
            server.expect_recorded(40)
        finally:
            commands.put("stop")
            thread.join(WAIT)
        assert server.expect("closed")["path"] == second
    (outcome,) = outcomes
    assert (outcome.cause, outcome.problems, outcome.clean) == ("signal", (), True)
    segments = [Path("out/day.mp4"), Path("out/day-1.mp4")]
    assert [path for path in outcome.files if path.suffix == ".mp4"] == sorted(segments)
    pts = []
    for written, size in zip((*segments, Path(first), Path(second)), (SMALL, LARGE) * 2, strict=True):
        assert ffmpeg_complaints(written) == ""
        (stream,) = ffprobe(written, "stream=width,height")["streams"]
        assert (stream["width"], stream["height"]) == size
        if written in segments:
            pts += camera_pts(written)
    assert pts == sorted(set(pts))
    stats = outcome.cameras[0].stats
    slow = stats.dropped.get("output_slow", 0)  # of both outputs together
    assert stats.passed - slow <= len(pts) <= stats.passed
    assert stats.reconnects == {}
    background = cv2.imread("out/background.png")
    assert background is not None
    assert background.shape[:2] == LARGE[::-1]
    assert background.mean() > 150
