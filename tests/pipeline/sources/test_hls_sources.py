"""A camera that is read by HLS: what of it is noticed, and that nothing is shown twice."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from nightday.pipeline.core.frame import Frame
from tests.faults.camera import Camera, rising
from tests.support.hls_server import HlsServer, Trouble

STALL = 1.0


def own_stamps(frames: list[Frame]) -> list[int]:
    """The pictures' time stamps as the camera gave them."""
    assert all(frame.video.pts is not None for frame in frames)
    return [frame.video.pts or 0 for frame in frames]


def retries(camera: Camera) -> int:
    return sum(camera.stats.snapshot().reconnects.values())


@pytest.mark.parametrize("trouble", ["stands still", "no pieces", "silent"])
def test_a_playlist_without_anything_new_is_no_camera_that_plays(trouble: Trouble) -> None:
    """It is opened again and again, and holds the same pieces each time: none of them is shown once more."""
    with HlsServer(piece_seconds=0.5) as server:
        with Camera(server.url, stall_timeout=STALL, open_timeout=STALL) as camera:
            camera.wait_more(5)
            server.begin_trouble(trouble)
            began = time.monotonic()
            camera.wait_state("retrying", reason="stall")
            noticed = time.monotonic() - began
            shown = len(camera.slot.frames)
            seen = camera.events[-1]
            while retries(camera) < 2:
                camera.stop.wait(0.05)
            assert len(camera.slot.frames) == shown
            assert {event.state for event in camera.events[1:]} == {"retrying"}
            server.trouble = "none"
            frames = camera.wait_more(5)
        # The last piece may have come just before; two seconds are for a machine with other work.
        assert noticed < STALL + 0.5 + 1.0 + 2.0
        assert seen.detail == "no data for 1 s: its playlist does not grow, or its pieces cannot be had"
        stamps = own_stamps(frames)
        assert all(later > earlier for earlier, later in pairwise(stamps))
        assert rising(frames)


def test_a_server_that_goes_and_returns_shows_each_picture_once() -> None:
    with HlsServer(piece_seconds=0.5) as server:
        with Camera(server.url, stall_timeout=STALL, open_timeout=STALL) as camera:
            camera.wait_more(5)
            server.leave()
            camera.wait_state("retrying", reason="refused")
            with server:
                frames = camera.wait_more(10)
        stamps = own_stamps(frames)
        assert all(later > earlier for earlier, later in pairwise(stamps))


def test_a_stream_that_begins_anew_is_read_anew() -> None:
    """Its media sequence and its time stamps start from zero, with other pictures."""
    with HlsServer(piece_seconds=0.5) as server:
        with Camera(server.url, stall_timeout=STALL, open_timeout=5.0) as camera:
            camera.wait_more(5)
            server.restart()
            camera.wait_state("retrying")
            before = len(camera.slot.frames)
            frames = camera.wait_more(5)
        assert rising(frames)
        levels = [round(float(np.mean(frame.video.to_ndarray()[:48]))) for frame in frames[before:]]
        assert {level % 10 for level in levels} == {5}, levels  # those of the first run are whole tens


def test_pieces_that_last_longer_than_the_patience_are_waited_for() -> None:
    with HlsServer(piece_seconds=2.0) as server:
        with Camera(server.url, stall_timeout=STALL) as camera:
            frames = camera.wait_more(
                55
            )  # the three first pieces hold 60, and no other comes within two seconds
            frames = camera.wait_more(15)
        assert [event.state for event in camera.events] == ["playing", "stopped"]
        assert len({later - earlier for earlier, later in pairwise(own_stamps(frames))}) == 1


def test_low_latency_playlists_are_read_piece_by_piece() -> None:
    with HlsServer(piece_seconds=1.0, part_seconds=0.25) as server:
        with Camera(server.url, stall_timeout=STALL) as camera:
            frames = camera.wait_more(38)
        assert [event.state for event in camera.events] == ["playing", "stopped"]
        assert len({later - earlier for earlier, later in pairwise(own_stamps(frames))}) == 1
