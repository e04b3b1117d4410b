"""Counts are news once their median has changed."""

from __future__ import annotations

import numpy as np

from nightday.pipeline.analysis.settled import WINDOW, SettledCounts


def test_a_change_is_told_once_it_has_lasted() -> None:
    counts, told = SettledCounts(), []
    for number in range(100):
        news = counts.update({"car": 1} if 25 <= number < 75 else {}, now=number / 25)
        if news is not None:
            told.append((number, news))
    (began, nothing), (came, first), (went, second) = told
    assert (began, nothing, first, second) == (0, {}, {"car": 1}, {})
    assert 10 <= came - 25 <= 14
    assert 10 <= went - 75 <= 14


def test_an_object_that_is_missed_on_a_picture_is_no_news() -> None:
    counts = SettledCounts()
    told = [counts.update({"car": int(number % 3 != 2)}, now=number * 0.2) for number in range(100)]
    assert [news for news in told if news is not None] == [{"car": 1}]


def test_slow_cameras_tell_at_once() -> None:
    counts = SettledCounts()
    assert counts.update({"car": 2}, now=0.0) == {"car": 2}
    assert counts.update({"car": 2}, now=5.0) is None
    assert counts.update({}, now=10.0) == {}


def test_what_is_told_is_the_median(rng: np.random.Generator) -> None:
    counts, now = SettledCounts(), 0.0
    told: dict[str, int] | None = None
    history: list[tuple[float, dict[str, int]]] = []
    for _ in range(500):
        now += float(rng.uniform(0.02, 0.3))
        newest = {
            label: int(count)
            for label in ("car", "cat")
            if (count := rng.integers(0, 3)) or rng.random() < 0.5
        }
        history.append((now, newest))
        news = counts.update(newest, now=now)
        expected: dict[str, int] = {}
        for label in ("car", "cat"):
            lately = sorted(seen.get(label, 0) for at, seen in history if at > now - WINDOW)
            if lately[len(lately) // 2]:
                expected[label] = lately[len(lately) // 2]
        assert news == (None if expected == told else expected)
        told = expected
