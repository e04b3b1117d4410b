"""Pictures that come damaged over UDP: how many there are, and that the user is told."""

from __future__ import annotations

import random

import av.logging
import pytest

from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.media.rtp_log import LostPackets, listening
from nightday.pipeline.sources.damage import REMIND, WINDOW, DamageWatch
from tests.support.media_helpers import FakeClock


class Told(list[str]):
    def __call__(self, name: str, detail: str) -> None:
        assert name == "frames_damaged"
        self.append(detail)


def watch(lost: LostPackets, clock: FakeClock) -> tuple[DamageWatch, CameraStats, Told]:
    stats, told = CameraStats(), Told()
    return DamageWatch(lost, stats=stats, warn=told, advice="set transport: tcp", clock=clock), stats, told


def test_all_pictures_from_a_loss_to_the_next_whole_key_frame_count() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    lost = LostPackets()
    damage, stats, _ = watch(lost, FakeClock())
    broken, wanted = False, 0
    for number in range(2000):
        key, missed = number % 25 == 0, rng.random() < 0.03
        if missed:
            lost.add(rng.randint(1, 5))
        damage.see_picture(key=key)
        if missed:
            broken = True
        elif key:
            broken = False
        wanted += broken
    assert stats.snapshot().damaged == wanted > 0


def test_the_user_is_told_once_an_hour_with_figures_and_a_way_out() -> None:
    lost, clock = LostPackets(), FakeClock()
    damage, _, told = watch(lost, clock)

    def window(losses: int) -> None:
        for number in range(160):
            if number < losses:
                lost.add(2)
            clock.now += WINDOW / 160
            damage.see_picture(key=True)

    window(0)
    assert told == []
    window(1)  # of 160: that can be borne
    assert told == []
    window(7)
    assert len(told) == 1
    assert told[0].startswith("7 of the last 160 pictures came damaged, ")
    assert told[0].endswith("14 packets were lost on the way (UDP); set transport: tcp")
    window(50)
    assert len(told) == 1
    clock.now += REMIND
    window(50)
    window(50)
    assert len(told) == 2


def test_only_the_log_of_the_thread_that_demuxes_counts_and_it_is_off_again_afterwards() -> None:
    assert av.logging.get_level() is None
    with listening() as one, listening() as other:
        one.count_here()
        for _ in range(3):  # the same line again
            av.logging.log(av.logging.WARNING, "rtsp", "RTP: missed 4 packets\n")
        av.logging.log(av.logging.WARNING, "rtsp", "max delay reached. need to consume packet\n")
        assert (one.take(), one.take(), other.take()) == (12, 0, 0)
    assert av.logging.get_level() is None


def test_others_see_nothing_of_the_log_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    with listening():
        av.logging.log(av.logging.ERROR, "h264", "error while decoding MB 3 4\n")
    assert caplog.text == ""
