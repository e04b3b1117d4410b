"""Turns of cameras whose frames cost differently, against what their shares should be by the formula."""

import random
from collections import Counter

import pytest

from nightday.pipeline.translation.turns import EXTRA, Turns


def served(turns: Turns, costs: dict[str, float], seconds: float) -> Counter[str]:
    """How many turns each camera has in so many seconds of work, while all have frames that wait."""
    count: Counter[str] = Counter()
    while seconds > 0:
        camera = min(costs, key=turns.begins)
        turns.take(camera)
        turns.took(camera, costs[camera])
        seconds -= costs[camera]
        count[camera] += 1
    return count


@pytest.fixture
def rng() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_cheap_frames_come_more_often_and_cost_the_others_a_fifth_at_most(rng: random.Random) -> None:
    costs = {f"camera {n}": 10 ** rng.uniform(-3, -1) for n in range(rng.randint(2, 12))}
    turns = Turns()
    served(turns, costs, 20 * sum(costs.values()))  # until all costs are known
    rounds = 400
    count = served(turns, costs, rounds * sum(costs.values()))

    mean = sum(costs.values()) / len(costs)
    for camera, cost in costs.items():
        wanted = rounds * (1 + EXTRA * mean / cost) / (1 + EXTRA)
        assert count[camera] == pytest.approx(wanted, rel=0.05, abs=3)
        assert count[camera] >= rounds / (1 + EXTRA) * 0.98 - 2


def test_cameras_that_cost_the_same_have_the_same(rng: random.Random) -> None:
    costs = dict.fromkeys("abcdefg", rng.uniform(0.001, 0.1))
    count = served(Turns(), costs, 100.5 * sum(costs.values()))

    assert max(count.values()) - min(count.values()) <= 1


def test_who_had_nothing_to_show_for_long_is_next_but_has_saved_nothing_up() -> None:
    turns, costs = Turns(), dict.fromkeys("ab", 0.01)
    served(turns, costs, 10.0)
    assert turns.begins("rare") <= min(turns.begins(camera) for camera in costs)

    count = served(turns, {**costs, "rare": 0.01}, 0.3)

    assert max(count.values()) - min(count.values()) <= 1


def test_a_camera_that_grows_busy_is_slowed_down_soon() -> None:
    turns = Turns()
    served(turns, {"yard": 0.001, "road": 0.03}, 10.0)
    served(turns, {"yard": 0.03, "road": 0.03}, 1.0)

    count = served(turns, {"yard": 0.03, "road": 0.03}, 3.0)

    assert abs(count["yard"] - count["road"]) <= 2


def test_forgotten_cameras_begin_anew() -> None:
    turns = Turns()
    served(turns, {"a": 0.01, "b": 0.02}, 1.0)
    turns.forget("a")

    assert turns.begins("a") <= turns.begins("b")
    assert turns.last("a") == 0
    assert not turns.had_all("a", since=0)
