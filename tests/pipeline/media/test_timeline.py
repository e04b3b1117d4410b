"""A camera's time line rises strictly, whatever its connections say."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

from nightday.pipeline.media.clock_watch import ClockWatch
from nightday.pipeline.media.timeline import Timeline

RTP = Fraction(1, 90_000)


def started(time_base: Fraction = RTP, *, live: bool = True) -> Timeline:
    timeline = Timeline()
    begin(timeline, time_base, live=live)
    return timeline


def begin(
    timeline: Timeline, time_base: Fraction = RTP, *, live: bool = True, frame_seconds: float = 0.04
) -> None:
    watch = ClockWatch() if live else None
    timeline.begin(time_base=time_base, frame_seconds=frame_seconds, watch=watch)


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
    begin(timeline)
    assert timeline.place(0, now=12.5) == 700_000 + 225_000
    assert timeline.place(3600, now=12.54) == 700_000 + 225_000 + 3600


def test_a_reconnect_whose_pts_are_higher_does_not_keep_them() -> None:
    timeline = started()
    timeline.place(100, now=10.0)
    begin(timeline)
    assert timeline.place(10**12, now=11.0) == 90_100


def test_a_reconnect_in_another_time_base_is_rescaled() -> None:
    timeline = started()
    timeline.place(0, now=0.0)
    begin(timeline, Fraction(1, 1000))
    assert timeline.time_base == RTP
    assert timeline.place(0, now=1.0) == 90_000
    assert timeline.place(40, now=1.04) == 93_600


def test_a_loop_goes_on_after_one_frame() -> None:
    timeline = started(Fraction(1, 12_800), live=False)
    assert [timeline.place(pts, now=0.0) for pts in (0, 512)] == [0, 512]
    begin(timeline, Fraction(1, 12_800), live=False)
    assert [timeline.place(pts, now=99.0) for pts in (0, 512)] == [1024, 1536]


def test_missing_pts_are_filled_in_by_the_clock() -> None:
    timeline = started()
    assert timeline.place(None, now=0.0) == 0
    assert timeline.place(3600, now=0.04) == 3600
    assert timeline.place(None, now=0.08) == 7200
    assert timeline.place(10_800, now=0.12) == 10_800


def test_a_file_s_frame_out_of_order_gets_no_place() -> None:
    timeline = started(live=False)
    assert timeline.place(7200, now=0.0) == 7200
    assert timeline.place(7200, now=0.01) is None
    assert timeline.place(3600, now=0.02) is None
    assert timeline.place(10_800, now=0.04) == 10_800


def test_two_pictures_with_one_stamp_are_both_kept_and_the_second_goes_by_its_arrival() -> None:
    timeline = started()
    placed = [timeline.place(pts, now=number * 0.04) for number, pts in enumerate((0, 0, 7200, 7200, 14_400))]
    assert placed == [0, 3600, 7200, 10_800, 14_400]


def test_a_single_stray_stamp_goes_by_its_arrival_and_changes_nothing_after_it() -> None:
    for stray in (-36_000.0, -1.0, -0.1, 0.1, 0.5, 5.0, 36_000.0):
        timeline = started()
        own = [10**10 + number * 3600 for number in range(100)]
        sent = [*own]
        sent[50] += round(stray * 90_000)
        placed = [timeline.place(pts, now=number * 0.04) for number, pts in enumerate(sent)]
        assert placed == own, stray


def test_a_camera_whose_clock_is_set_goes_on_with_ours() -> None:
    for by in (-36_000.0, -2.0, 1.0, 36_000.0):
        timeline = started()
        own = [10**10 + number * 3600 for number in range(100)]
        sent = [pts + round(by * 90_000) * (number >= 50) for number, pts in enumerate(own)]
        assert [timeline.place(pts, now=number * 0.04) for number, pts in enumerate(sent)] == own, by


def test_finer_ticks_than_the_first_connection_s_do_not_collide() -> None:
    timeline = started(Fraction(1, 25))
    timeline.place(0, now=0.0)
    begin(timeline, frame_seconds=1 / 60)
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
            begin(timeline, base, live=rng.random() < 0.5, frame_seconds=rng.choice((0.01, 0.04, 1.0)))
            pts = rng.randrange(-(10**6), 10**12)
            for _ in range(rng.randrange(40)):
                now += rng.choice((0.0, 0.001, 0.04, 20.0))
                pts += rng.choice((0, 1, 512, 3600, -512, -(10**7), 10**9))
                placed.append(timeline.place(rng.choice((pts, pts, pts, None)), now=now))
        kept = [place for place in placed if place is not None]
        assert all(place >= 0 for place in kept)
        assert all(later > earlier for earlier, later in pairwise(kept))
