"""How much of a stream is decoded, under loads that a model of the loop and the decoder makes."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from nightday.pipeline.sources.frame_skipping import HOLD_MOST, WINDOW, DecodeLevel, FrameSkipping


class Model:
    """A stream of ``rate`` packets a second, a key frame each ``gop`` of them and every ``every``th not referred to.

    The loop takes at most ``takes`` frames a second and the decoder manages ``decodes``.
    """

    def __init__(self, *, rate: float, gop: int, every: int, takes: float, decodes: float = 1e9) -> None:
        self.rate, self.gop, self.every, self.takes, self.decodes = rate, gop, every, takes, decodes
        self.skipping = FrameSkipping()
        self.now, self.number, self.lag = 0.0, 0, 0.0
        self.next_take, self.pending = 0.0, False
        self.taken: list[float] = []
        self.levels: list[tuple[float, DecodeLevel]] = [(0.0, "all")]
        self.applied: DecodeLevel = "all"

    def run(self, seconds: float) -> Model:
        end = self.now + seconds
        while self.now < end:
            self.step()
        return self

    def step(self) -> None:
        arrival = self.number / self.rate
        waited = max(0.0, arrival - self.now)
        self.now = max(self.now, arrival)
        key = self.number % self.gop == 0
        self.skipping.saw_packet(now=self.now, waited=waited, key=key)
        if self.skipping.level != self.levels[-1][1]:
            self.levels.append((self.now, self.skipping.level))
        if self.applied != "keys" or key:
            self.applied = self.skipping.level
        referred = key or not self.every or self.number % self.every
        self.number += 1
        if (self.applied == "keys" and not key) or (self.applied == "references" and not referred):
            return
        self.now += 1 / self.decodes
        if self.pending and self.now >= self.next_take:
            self.pending = False
            self.taken.append(self.now)
            self.next_take = self.now + 1 / self.takes
        self.skipping.saw_frame(replaced=self.pending)
        self.pending = True

    def level(self) -> DecodeLevel:
        return self.skipping.level

    def taken_rate(self, since: float) -> float:
        return sum(at >= since for at in self.taken) / (self.now - since)


def test_nothing_is_skipped_while_the_loop_keeps_up_or_loses_less_than_half() -> None:
    for takes in (100.0, 25.0, 15.0):
        assert Model(rate=25, gop=50, every=2, takes=takes).run(120).levels == [(0.0, "all")]


def test_unreferred_frames_are_skipped_within_two_windows_and_the_loop_loses_nothing() -> None:
    model = Model(rate=100, gop=200, every=2, takes=25.0).run(60)
    assert model.levels[1][1] == "references"
    assert model.levels[1][0] <= 2 * WINDOW
    assert "keys" not in {level for _, level in model.levels}
    assert model.taken_rate(10.0) > 23


def test_key_frames_alone_only_where_they_are_as_many_as_the_loop_takes() -> None:
    slow = Model(rate=25, gop=25, every=2, takes=0.4).run(60)
    assert slow.levels[2][1] == "keys"
    assert slow.taken_rate(10.0) == pytest.approx(0.4, rel=0.35)
    rare = Model(rate=25, gop=250, every=2, takes=0.05).run(120)  # one in 10 s would be no picture any more
    assert "keys" not in {level for _, level in rare.levels}


def test_a_decoder_that_cannot_keep_up_catches_up_on_key_frames() -> None:
    model = Model(rate=50, gop=50, every=0, takes=1000.0, decodes=30.0)
    worst = 0.0
    for _ in range(60 * 50):
        model.step()
        worst = max(worst, model.now - model.number / model.rate)
    assert "keys" in {level for _, level in model.levels}
    # It falls behind by 0.4 s a second until it is seen, never without bound.
    assert worst < 3 * WINDOW
    assert model.now - model.number / model.rate < 2 * WINDOW


def test_it_goes_back_when_there_is_room_again() -> None:
    model = Model(rate=100, gop=100, every=2, takes=0.5).run(30)
    assert model.level() == "keys"
    model.takes = 1000.0
    model.next_take = model.now
    model.run(60)
    assert model.level() == "all"
    assert model.taken_rate(model.now - 10) == pytest.approx(100, rel=0.05)


def test_a_steady_load_of_any_size_does_not_make_it_oscillate() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(12):
        model = Model(
            rate=rng.choice((10, 25, 60)),
            gop=rng.choice((10, 50, 100)),
            every=rng.choice((0, 2, 3)),
            takes=rng.uniform(0.2, 70),
            decodes=rng.choice((1e9, rng.uniform(5, 90))),
        )
        model.run(1200)
        changes = [at for at, _ in model.levels[1:]]
        since = [at for at in changes if at > 400]  # after that every try that fails costs the longest hold
        assert len(since) <= 2 * 2 * (800 / HOLD_MOST) + 4, (seed, vars(model))
        assert all(later - earlier >= WINDOW * 0.9 for earlier, later in pairwise(changes))
