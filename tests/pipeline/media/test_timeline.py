"""A camera's time line rises strictly, whatever its connections say."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

from nightday.pipeline.media.timeline import Timeline

RTP = Fraction(1, 90_000)


def started(time_base: Fraction = RTP, *, live: bool = True) -> Timeline:
    timeline = Timeline()
    timeline.begin(time_base=time_base, live=live, frame_seconds=0.04)
    return timeline


def test_the_camera_s_own_pts_are_kept() -> None:
    timeline = started()
    assert [timeline.place(pts, now=pts / 90_000) for pts in (5_000_000, 5_003_600, 5_007_333)] == [
        5_000_000,
        5_003_600,
        5_007_333,
    ]


def test_a_first_pts_below_zero_moves_up_to_zero() -> None:
    timeline = started()
    assert [timeline.place(pts, now=0.0) for pts in (-3000, 600, 4200)] == [0, 3600, 7200]


def test_a_reconnect_goes_on_by_the_time_that_passed() -> None:
    timeline = started()
    timeline.place(700_000, now=10.0)
    timeline.begin(time_base=RTP, live=True, frame_seconds=0.04)
    assert timeline.place(0, now=12.5) == 700_000 + 225_000
    assert timeline.place(3600, now=12.54) == 700_000 + 225_000 + 3600


def test_a_reconnect_whose_pts_are_higher_does_not_keep_them() -> None:
    timeline = started()
    timeline.place(100, now=10.0)
    timeline.begin(time_base=RTP, live=True, frame_seconds=0.04)
    assert timeline.place(10**12, now=11.0) == 90_100


def test_a_reconnect_in_another_time_base_is_rescaled() -> None:
    timeline = started()
    timeline.place(0, now=0.0)
    timeline.begin(time_base=Fraction(1, 1000), live=True, frame_seconds=0.04)
    assert timeline.time_base == RTP
    assert timeline.place(0, now=1.0) == 90_000
    assert timeline.place(40, now=1.04) == 93_600


def test_a_loop_goes_on_after_one_frame() -> None:
    timeline = started(Fraction(1, 12_800), live=False)
    assert [timeline.place(pts, now=0.0) for pts in (0, 512)] == [0, 512]
    timeline.begin(time_base=Fraction(1, 12_800), live=False, frame_seconds=0.04)
    assert [timeline.place(pts, now=99.0) for pts in (0, 512)] == [1024, 1536]


def test_missing_pts_are_filled_in_by_the_clock() -> None:
    timeline = started()
    assert timeline.place(None, now=0.0) == 0
    assert timeline.place(3600, now=0.04) == 3600
    assert timeline.place(None, now=0.08) == 7200
    assert timeline.place(10_800, now=0.12) == 10_800


def test_a_frame_out_of_order_gets_no_place() -> None:
    timeline = started()
    assert timeline.place(7200, now=0.0) == 7200
    assert timeline.place(7200, now=0.01) is None
    assert timeline.place(3600, now=0.02) is None
    assert timeline.place(10_800, now=0.04) == 10_800


def test_a_camera_whose_clock_is_set_back_goes_on() -> None:
    timeline = started()
    timeline.place(90_000_000, now=0.0)
    assert timeline.place(0, now=0.04) == 90_003_600
    assert timeline.place(3600, now=0.08) == 90_007_200


def test_a_camera_whose_clock_leaps_ahead_stays_with_ours() -> None:
    timeline = started()
    timeline.place(0, now=0.0)
    assert timeline.place(10**10, now=0.04) == 3600
    assert timeline.place(10**10 + 3600, now=0.08) == 7200


def test_finer_ticks_than_the_first_connection_s_do_not_collide() -> None:
    timeline = started(Fraction(1, 25))
    timeline.place(0, now=0.0)
    timeline.begin(time_base=RTP, live=True, frame_seconds=1 / 60)
    placed = [timeline.place(number * 1500, now=1.0 + number / 60) for number in range(60)]
    kept = [place for place in placed if place is not None]
    assert len(kept) == len(placed)
    assert kept == sorted(set(kept))


def test_it_rises_strictly_under_any_input() -> None:
    rng = random.Random(7)
    for _ in range(200):
        timeline, placed, now = Timeline(), [], 0.0
        for _ in range(rng.randrange(1, 6)):
            base = Fraction(1, rng.choice((25, 1000, 12_800, 90_000)))
            timeline.begin(
                time_base=base, live=rng.random() < 0.5, frame_seconds=rng.choice((0.01, 0.04, 1.0))
            )
            pts = rng.randrange(-(10**6), 10**12)
            for _ in range(rng.randrange(40)):
                now += rng.choice((0.0, 0.001, 0.04, 20.0))
                pts += rng.choice((0, 1, 512, 3600, -512, -(10**7), 10**9))
                placed.append(timeline.place(rng.choice((pts, pts, pts, None)), now=now))
        kept = [place for place in placed if place is not None]
        assert all(place >= 0 for place in kept)
        assert all(later > earlier for earlier, later in pairwise(kept))
