"""A restream while its camera is away: the last picture comes again and again, marked, and viewers stay."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from nightday.engines.video.look import Look
from nightday.pipeline.analysis.draw import draw_absence
from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.frame import Picture
from nightday.pipeline.outputs import output
from nightday.pipeline.outputs.encoding.encoder import Encoder
from nightday.pipeline.outputs.encoding.shared_encoder import EncoderClient, SharedEncoder
from nightday.pipeline.outputs.restream import writer
from nightday.pipeline.outputs.restream.stand_in import LAG, stand_in_for
from nightday.pipeline.outputs.restream.writer import STAND_IN_EVERY
from nightday.pipeline.outputs.rtsp.writer import RestreamWriter
from nightday.pipeline.outputs.writer import PictureSkipped
from tests.pipeline.outputs.rtsp.test_rtsp_writer import Restream
from tests.support.media_helpers import FakeClock, picture
from tests.support.relay import Relay, Viewer
from tests.support.rtsp_server import RtspServer

FRAME = 512  # ticks of a frame at 25 fps
SECOND = 12800
SIZE = (160, 120)


def grey(pts: int, level: int) -> object:
    return picture(pts, rgb=np.full((SIZE[1], SIZE[0], 3), level, np.uint8))


class Away:
    """A restream to a real server, on a clock moved by hand."""

    def __init__(self, server: RtspServer) -> None:
        self.clock = FakeClock()
        self.server = server
        self.writer = RestreamWriter(url=CameraUrl(server.url("/day")), clock=self.clock)
        self.sent: list[int] = []

    def play(self, *pts: int, level: int = 120) -> None:
        for one in pts:
            self.writer.write(grey(one, level))  # type: ignore[arg-type]
            self.clock.now += 0.04

    def away(self, seconds: int) -> None:
        """Nothing comes for so long, which the writer hears of every second."""
        for second in range(1, seconds + 1):
            self.clock.now += 1.0
            self.writer.idle(float(second))

    def end(self) -> tuple[list[float], list[av.VideoFrame]]:
        """What the server recorded: seconds since the first picture, and the pictures."""
        self.writer.close()
        path = Path(self.server.expect("closed")["path"])
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        assert frames[0].time is not None
        return [float(frame.time or 0) - float(frames[0].time) for frame in frames], frames


def test_while_no_picture_comes_the_last_one_is_sent_every_ten_seconds(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server:
        restream = Away(server)
        restream.play(*(number * FRAME for number in range(10)))
        restream.away(35)
        back = round(35.4 * SECOND)
        restream.play(back, back + FRAME, back + 3 * FRAME, level=200)
        server.expect_recorded(16)
        times, frames = restream.end()
    last = 9 * 0.04
    # Told each second, it is 10 s, 20 s and 30 s after the last; each stays a second behind what has passed.
    away = [last + 10 - LAG, last + 20 - LAG, last + 30 - LAG]
    assert times[:10] == pytest.approx([number * 0.04 for number in range(10)], abs=0.002)
    assert times[10:13] == pytest.approx(away, abs=1.1)
    assert times[13:] == pytest.approx([35.4, 35.44, 35.52], abs=0.002)
    assert all(later > earlier for earlier, later in pairwise(times))
    # What a viewer decodes: the same picture with a mark, then the camera's own without one.
    middle = [float(frame.to_ndarray(format="gray")[60:100].mean()) for frame in frames]
    assert middle == pytest.approx([120] * 13 + [200] * 3, abs=3)
    marked = [bool((frame.to_ndarray(format="gray")[:15, :40] < 60).mean() > 0.3) for frame in frames]
    assert marked == [False] * 10 + [True] * 3 + [False] * 3
    assert STAND_IN_EVERY < 15  # go2rtc's patience


def test_the_other_outputs_of_the_camera_notice_nothing(tmp_path: Path) -> None:
    """A stand-in takes an encoder of its own. After it the restream waits for a key frame, which it asks for."""
    shared, clock = SharedEncoder(), FakeClock()
    with RtspServer(record=tmp_path) as server:
        restream = RestreamWriter(url=CameraUrl(server.url("/day")), encoder=shared, clock=clock)
        recording = EncoderClient(shared)
        first = grey(0, 120)
        restream.write(first)  # type: ignore[arg-type]
        recorded = [recording.encode(first)]  # type: ignore[arg-type]
        clock.now += 11
        restream.idle(11.0)
        skipped = 0
        for number in range(1, 4):
            shown = grey(number * FRAME, 130)
            recorded.append(recording.encode(shown))  # type: ignore[arg-type]
            try:
                restream.write(shown)  # type: ignore[arg-type]
            except PictureSkipped:
                skipped += 1
        server.expect_recorded(4)
        restream.close()
    assert [encoded.number for encoded in recorded] == [1, 2, 3, 4]
    assert skipped == 1


def test_a_camera_whose_time_has_not_gone_on_continues_behind_the_stand_in(tmp_path: Path) -> None:
    with RtspServer(record=tmp_path) as server:
        restream = Away(server)
        restream.play(0, FRAME)
        restream.away(25)
        restream.play(2 * FRAME, 3 * FRAME, 8 * FRAME)
        server.expect_recorded(7)
        times, _ = restream.end()
    assert all(later > earlier for earlier, later in pairwise(times))
    assert times[4] - times[3] == pytest.approx(0.01, abs=0.002)
    assert [times[5] - times[4], times[6] - times[5]] == pytest.approx([0.04, 0.2], abs=0.002)


def test_a_server_that_comes_back_while_the_camera_is_away_gets_the_last_picture(tmp_path: Path) -> None:
    server = RtspServer(record=tmp_path)
    with server:
        restream = Away(server)
        restream.play(0, FRAME)
        server.expect_recorded(2)
        server.kill()
        with pytest.raises(OSError, match="hung up"):
            restream.away(2)
        restream.writer.close()
        with server:
            restream.away(20)  # the server keeps one back until it knows from the next how long it lasts
            server.expect_recorded(1)
            restream.writer.close()


def test_viewers_of_a_relay_keep_their_picture_without_connecting_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tenth of go2rtc's 15 s and of the writer's 10 s; the camera is away for three times as long."""
    monkeypatch.setattr(writer, "STAND_IN_EVERY", 1.0)
    monkeypatch.setattr(output, "IDLE_CHECK", 0.1)
    with Relay(patience=1.5) as relay, Restream(relay.url("/day")) as restream:
        restream.send(1)
        relay.expect("recording")
        viewer = Viewer(relay.url("/view"))
        relay.expect("viewing")
        while not viewer.count(marked=False):
            restream.send(1)
            time.sleep(0.02)
        viewer.wait_for(4, marked=True)
        assert not relay.heard("closed")
        restream.pts += 5 * SECOND
        seen = viewer.count(marked=False)
        restream.send(60)
        viewer.wait_for(seen + 50, marked=False)
        assert not relay.heard("closed")
    assert [event.state for event in restream.events] == ["writing", "closed"]


def test_the_text_says_since_when_and_can_be_read() -> None:
    since = time.mktime((2026, 3, 4, 12, 3, 5, 0, 0, -1))
    rgb = np.full((288, 352, 3), 255, np.uint8)
    draw_absence(rgb, since)
    other = np.full((288, 352, 3), 255, np.uint8)
    draw_absence(other, since + 3600)
    assert (rgb != other).any()
    assert (rgb[40:] == 255).all()
    assert (rgb[:15, :150] < 30).mean() > 0.3
    height = int(np.argmax((rgb[:, 0] == 255).all(axis=1)))
    again = np.full((1080, 1920, 3), 255, np.uint8)
    draw_absence(again, since)
    assert height == 15 == round(int(np.argmax((again[:, 0] == 255).all(axis=1))) / 3)
    # The same letters, cut out by another path: OpenCV's own size of the text in the picture's height.
    (width, tall), below = cv2.getTextSize("no picture since 12:03:05", cv2.FONT_HERSHEY_SIMPLEX, 3.0, 7)
    inked = int((rgb[0] < 30).all(axis=1).sum())
    assert inked == pytest.approx(height * (width + tall / 2.5) / (tall + below + tall / 2.5), rel=0.05)


def test_a_picture_on_a_gpu_is_brought_to_the_host_for_it() -> None:
    there = picture(0, size=SIZE)
    array = there.rgb
    assert isinstance(array, np.ndarray)
    tensor = Picture(there.frame, torch.from_numpy(array.copy()), translated=True)
    encoded = SharedEncoder().encode(there, key=True)
    assert encoded is not None
    stands = [stand_in_for(one, encoded, shown_at=0.0).encoded(30.0).data for one in (there, tensor)]
    assert stands[0] == stands[1]
    assert (tensor.rgb.numpy() == array).all()  # type: ignore[union-attr]


def test_it_keeps_nothing_of_the_decoders() -> None:
    shown = picture(0, size=SIZE)
    (packet,) = Encoder(shown, preset="ultrafast").encode(shown)
    encoded = SharedEncoder().encode(shown, key=True)
    assert encoded is not None
    kept = stand_in_for(shown, encoded, shown_at=0.0)
    assert kept.picture.frame.video is not shown.frame.video
    assert kept.encoded(30.0).pts == round((30 - LAG) / Fraction(1, SECOND))
    assert packet.is_keyframe
    assert re.search(b"\0\0\1[\x67\x27]", kept.encoded(30.0).data)  # parameter sets for whoever joins


def test_it_is_told_to_players_as_the_camera_s_own_pictures_are() -> None:
    """Else a server would take it for another stream."""
    video = av.VideoFrame(64, 48, "yuvj420p")
    video.colorspace, video.color_primaries, video.color_trc = 6, 6, 6
    video.opaque = Look(quarters=1, pixel_aspect=Fraction(16, 11))
    frame = replace(picture(0).frame, video=video)
    shown = Picture(frame, np.full((64, 48, 3), 90, np.uint8), translated=False)
    encoded = SharedEncoder().encode(shown, key=True)
    assert encoded is not None
    stand_in = stand_in_for(shown, encoded, shown_at=0.0).encoded(12.0)
    sets = [re.findall(rb"\x00\x00\x01\x67(.*?)\x00\x00", one.data, re.DOTALL) for one in (encoded, stand_in)]
    assert len(sets[0]) == 1
    assert sets[0] == sets[1]
