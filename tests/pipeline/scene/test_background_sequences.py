"""A camera's backgrounds over simulated hours: rain, clouds, lamps, a queue that stands, a parked car, dense traffic.

The truth is the simulated scene itself. A picture comes every 20 s of the camera's clock; to
save time, hours in which nothing new happens have fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.pipeline.core.status import LEARNT
from nightday.pipeline.scene.lasting_median import KEPT, LONGEST
from nightday.pipeline.scene.night_gate import TIMES_OF_DAY, TimeOfDay
from nightday.pipeline.scene.two_scales import AGREED, TwoScales

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
EVERY, SELDOM, FRAMES = 20.0, 90.0, 9
HEIGHT, WIDTH = 72, 96
MINUTE, HOUR = 60.0, 3600.0
CAR = (slice(30, 42), slice(40, 60))  # where one parks
QUEUE = (slice(50, 66), slice(8, 88))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """OpenCV's threads gain nothing on small pictures, and wait for each other where others compute, too."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def texture(rng: np.random.Generator, height: int, width: int) -> Floats:
    layers = [
        cv2.resize(rng.uniform(0, 255, (max(height // n, 2), max(width // n, 2), 3)), (width, height))
        for n in (2, 4, 8, 16)
    ]
    return np.asarray(np.clip(np.mean(layers, axis=0) * 1.5 - 64, 10, 245), np.float32)


def lamp(x: float, y: float, reach: float) -> Floats:
    """A pool of light, (H, W, 1), 0 to 1."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * reach**2)), np.float32)[..., None]


@dataclass
class World:
    """A scene, a camera with noise, and its medians by night and by day.

    ``Background`` itself would watch whether the camera is moved, too, at each picture.
    """

    rng: np.random.Generator
    now: float = 0.0

    def __post_init__(self) -> None:
        self.empty = texture(self.rng, HEIGHT, WIDTH)
        # Vehicles of strong contrast to whatever they stand on.
        self.cars = [np.kron(self.rng.uniform(0, 255, (4, 6, 3)), np.ones((3, 4, 1))) for _ in range(5)]
        self.scales = {
            time: TwoScales(frames=FRAMES, every=EVERY, lasting=True, follows=time == "night")
            for time in TIMES_OF_DAY
        }

    def put(self, picture: Floats, where: tuple[slice, slice], car: int) -> None:
        """Fill a place with a car, again and again if it is longer."""
        rows, columns = (part.stop - part.start for part in where)
        one = cv2.resize(self.cars[car].astype(np.float32), (20, rows), interpolation=cv2.INTER_NEAREST)
        picture[where] = np.tile(one, (1, -(-columns // 20), 1))[:, :columns]

    def traffic(self, picture: Floats, share: float) -> None:
        """Let cars cover each place of the road for this share of the time."""
        for left in range(8, 88, 20):
            if self.rng.random() < share:
                self.put(
                    picture, (slice(50, 66), slice(left, left + 20)), int(self.rng.integers(len(self.cars)))
                )

    def run(
        self,
        seconds: float,
        *,
        time: TimeOfDay = "night",
        light: Callable[[float], Floats | float] = lambda _: 0.35,
        things: Callable[[Floats], None] = lambda _: None,
        traffic: float = 0.1,
        every: float = EVERY,
        texture_of: Floats | None = None,
    ) -> Iterator[float]:
        """Show it ``seconds`` of pictures; the seconds gone after each."""
        for index in range(round(seconds / every)):
            picture = (self.empty if texture_of is None else texture_of).copy()
            self.traffic(picture, traffic)
            things(picture)
            picture = picture * light(index * every) + self.rng.normal(0, 2, picture.shape)
            seen = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
            for _ in self.scales[time].add(seen, self.now):
                pass
            for _ in self.scales[time].choose():
                pass
            self.now += every
            yield index * every
        self.scales[time].pause()

    def show(self, seconds: float, **how: object) -> None:
        """As ``run``, to its end."""
        for _ in self.run(seconds, **how):  # type: ignore[arg-type]
            pass

    def given(self, time: TimeOfDay = "night") -> Floats:
        picture = self.scales[time].given
        assert picture is not None
        return picture.astype(np.float32)

    def short(self, time: TimeOfDay = "night") -> Floats:
        picture = self.scales[time].short.picture
        assert picture is not None
        return picture.astype(np.float32)


def off(one: Floats, other: Floats, where: tuple[slice, slice] = (slice(None), slice(None))) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(one[where] - other[where]).mean())


def test_a_queue_that_stands_for_an_hour_is_not_absorbed(rng: np.random.Generator) -> None:
    world = World(rng)
    world.show(2 * HOUR, every=SELDOM)
    empty = world.empty * 0.35
    assert off(world.given(), empty) < 3
    for _ in world.run(HOUR, every=SELDOM, things=lambda picture: world.put(picture, QUEUE, 0)):
        assert off(world.given(), empty, QUEUE) < 6
    assert off(world.short(), empty, QUEUE) > 12  # the short median has taken it in


def test_what_parks_for_an_evening_is_not_absorbed_once_nights_are_known(rng: np.random.Generator) -> None:
    world = World(rng)
    for _ in range(2):
        world.show(10 * HOUR, every=10 * MINUTE)
        world.show(10 * MINUTE, time="day", light=lambda _: 1.0)
    world.show(5 * HOUR, every=10 * MINUTE, things=lambda picture: world.put(picture, CAR, 1))
    assert off(world.given(), world.empty * 0.35, CAR) < 4
    assert off(world.short(), world.empty * 0.35, CAR) > 8


def test_a_parked_car_that_leaves_ages_out(rng: np.random.Generator) -> None:
    world = World(rng)
    world.show(30 * MINUTE, things=lambda picture: world.put(picture, CAR, 1))
    empty = world.empty * 0.35
    assert off(world.given(), empty, CAR) > 8
    gone = next(
        (seconds for seconds in world.run(3 * HOUR, every=SELDOM) if off(world.given(), empty, CAR) < 4),
        float("inf"),
    )
    # It was there for as long as anything was known: half of the time it is gone.
    assert 15 * MINUTE < gone < 75 * MINUTE
    world.show(HOUR, every=SELDOM)
    assert off(world.given(), empty, CAR) < 4


def test_what_stands_for_good_is_absorbed_in_the_end(rng: np.random.Generator) -> None:
    world = World(rng)
    world.show(2 * HOUR, every=SELDOM)
    world.show(KEPT * LONGEST, every=10 * MINUTE, things=lambda picture: world.put(picture, CAR, 1))
    assert off(world.given(), world.short(), CAR) < 3


def test_lamps_that_are_switched_and_exposure_that_drifts_are_followed_within_minutes(
    rng: np.random.Generator,
) -> None:
    world = World(rng)
    world.show(2 * HOUR, every=SELDOM)
    switched = 0.35 + 0.6 * lamp(28, 24, 14) - 0.2 * lamp(72, 40, 12)
    world.show(6 * MINUTE, light=lambda _: switched)
    assert off(world.given(), world.empty * switched) < 5
    assert off(world.empty * 0.35, world.empty * switched) > 10
    world.show(10 * MINUTE, light=lambda seconds: 0.35 + 0.25 * min(seconds / (10 * MINUTE), 1))
    world.show(4 * MINUTE, light=lambda _: 0.6)
    assert off(world.given(), world.empty * 0.6) < 5


def test_light_is_followed_round_a_queue_that_stands(rng: np.random.Generator) -> None:
    world = World(rng)
    world.show(2 * HOUR, every=SELDOM)
    world.show(8 * MINUTE, light=lambda _: 0.55, things=lambda picture: world.put(picture, QUEUE, 0))
    assert off(world.given(), world.empty * 0.55) < 6
    assert off(world.given(), world.empty * 0.55, QUEUE) < 12
    assert off(world.given(), world.short(), QUEUE) > 20


def test_rain_is_followed(rng: np.random.Generator) -> None:
    """The ground turns darker and mirrors lamps in broad streaks; contrast goes."""
    world = World(rng)
    world.show(2 * HOUR, every=SELDOM)
    mean = world.empty.mean()
    wet = mean + 0.7 * (world.empty - mean)
    shine = 0.28 + 0.5 * lamp(50, 58, 9)
    world.show(8 * MINUTE, light=lambda _: shine, texture_of=wet)
    assert off(world.given(), wet * shine) < 7
    assert off(world.empty * 0.35, wet * shine) > 8


def test_a_cloud_by_day_changes_nothing_and_dusk_finds_the_day(rng: np.random.Generator) -> None:
    world = World(rng)
    world.show(2 * HOUR, time="day", light=lambda _: 1.0, every=SELDOM)
    world.show(10 * MINUTE, time="day", light=lambda _: 0.6)
    assert off(world.given("day"), world.empty) < 4
    assert off(world.short("day"), world.empty * 0.6) < 4
    world.show(20 * MINUTE, time="day", light=lambda s: 1 - 0.6 * s / (20 * MINUTE))
    assert off(world.given("day"), world.empty) < 8


def test_arrays_are_read_only_and_change_only_with_their_content(rng: np.random.Generator) -> None:
    world = World(rng)
    world.show(2 * HOUR, every=SELDOM)
    seen: dict[int, tuple[Pixels, Pixels]] = {}
    for _ in world.run(20 * MINUTE):
        night = world.scales["night"].given
        assert night is not None
        assert not night.flags.writeable
        seen.setdefault(id(night), (night, night.copy()))
    for array, value in seen.values():
        np.testing.assert_array_equal(array, value)
    assert len(seen) <= 6  # in steady light hardly ever: 20 minutes have 200 pictures


def test_dense_traffic_is_told_from_an_empty_road(rng: np.random.Generator) -> None:
    world, dense = World(rng), World(rng)
    told = [
        world.scales["day"].learnt
        for _ in world.run(30 * MINUTE, time="day", light=lambda _: 1.0, traffic=0.08)
    ]
    assert told[0] < 0.2
    assert told[-1] >= LEARNT
    dense.show(30 * MINUTE, time="day", light=lambda _: 1.0, traffic=0.7)
    agreement = dense.scales["day"].agreement
    assert agreement is not None
    assert agreement < AGREED
    assert dense.scales["day"].learnt < 0.9
    assert off(dense.given("day"), dense.empty, QUEUE) > 6  # rightly so
    dense.show(2 * HOUR, every=SELDOM, time="day", light=lambda _: 1.0, traffic=0.05)
    assert dense.scales["day"].learnt >= LEARNT
    assert off(dense.given("day"), dense.empty, QUEUE) < 4


def test_light_and_noise_are_not_taken_for_traffic(rng: np.random.Generator) -> None:
    world = World(rng)
    flicker = rng.normal(0, 0.05, 1000)
    world.show(
        20 * MINUTE,
        time="day",
        light=lambda seconds: 0.7 + 0.2 * np.sin(seconds / 90) + flicker[round(seconds / EVERY)],
        traffic=0.0,
    )
    assert world.scales["day"].learnt >= LEARNT
