"""Objects counted over moments, against sequences whose count is known."""

from __future__ import annotations

import numpy as np

from nightday.train.scores.week.objects import MEMORY, Box, Found, count, found_again, is_evident, objects_of


def found(x: float, *, label: str = "car", evident: bool = True, by_night: bool = True) -> Found:
    return Found((x, 10.0, x + 20, 30.0), label, evident, by_night)


def test_what_stands_counts_once_and_what_passes_at_each_moment() -> None:
    parked = [[found(100.0 + shift)] for shift in (0, 2, -1, 3)]
    passing = [[found(25.0 * at)] for at in range(4)]
    assert count(objects_of(parked)).objects == 1
    assert count(objects_of(passing)).objects == 4
    together = [[*a, *b] for a, b in zip(parked, [[found(300 + 25 * at)] for at in range(4)], strict=True)]
    assert count(objects_of(together)).objects == 5


def test_two_at_one_moment_are_never_one_object() -> None:
    assert count(objects_of([[found(0)], [found(0), found(2)]])).objects == 2


def test_what_a_detector_misses_for_a_while_is_the_same_object_and_later_another() -> None:
    for gap, objects in ((MEMORY - 1, 1), (MEMORY, 2)):
        moments = [[found(0)], *([[]] * gap), [found(0)]]
        assert count(objects_of(moments)).objects == objects


def test_another_class_at_the_same_place_is_no_other_object() -> None:
    objects = objects_of([[found(0)], [found(0, label="truck")], [found(0)]])
    assert count(objects).by_class == {"car": 1}


def test_what_is_evident_at_less_than_half_of_its_moments_is_not_in_the_evidence() -> None:
    for evident, without in ((1, 1), (2, 0)):
        moments = [[found(0, evident=at < evident, by_night=False)] for at in range(4)]
        told = count(objects_of(moments))
        assert (told.not_in_evidence, told.of_these_by_night, told.also_by_night) == (without, 0, 0)
    seen = count(objects_of([[found(0, evident=False, by_night=at == 2)] for at in range(4)]))
    assert (seen.not_in_evidence, seen.of_these_by_night, seen.also_by_night) == (1, 1, 1)


def test_a_box_is_evident_if_a_fifth_of_it_is() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:14, 20:30] = True
    assert is_evident((20, 10, 30, 30), mask)
    assert not is_evident((20, 10, 30, 31), mask)
    assert not is_evident((40, 10, 50, 30), mask)
    assert not is_evident((-20.0, 0.0, 0.0, 5.0), mask)


def test_a_box_is_found_again_once() -> None:
    one: Box = (0, 0, 10, 10)
    assert found_again([one, one], [(0, 0, 10, 12)]) == [True, False]
    assert found_again([one], []) == [False]
