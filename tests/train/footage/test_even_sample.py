"""An even sample of parts whose lengths are guessed, against a list of all frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from nightday.train.footage.even_sample import Part, even_positions, read_evenly


class Frames:
    """A part with the frames ``first`` … ``first + count - 1``; counts how often it is read and what is made."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count
        self.reads = self.made = 0

    def part(self, expected: int) -> Part[int]:
        return Part(expected, self._frames)

    def _frames(self) -> Iterator[Callable[[], int | None]]:
        self.reads += 1
        for number in range(self.first, self.first + self.count):
            yield lambda number=number: self._make(number)  # type: ignore[misc]

    def _make(self, number: int) -> int:
        self.made += 1
        return number


def assert_even(kept: list[int], total: int, most: int) -> None:
    """``kept`` are as many of the numbers below ``total`` as may be, each the nearest to its place at equal steps."""
    count = min(most, total)
    assert len(kept) == len({*kept}) == count
    for i, number in enumerate(kept):
        place = Fraction(i * (total - 1), max(1, count - 1))
        assert abs(number - place) <= Fraction(1, 2), (i, number, place)


def parts_of(counts: list[int]) -> list[Frames]:
    firsts = np.cumsum([0, *counts])
    return [Frames(int(first), count) for first, count in zip(firsts, counts, strict=False)]


def test_it_is_the_sample_of_a_list_of_all(rng: np.random.Generator) -> None:
    """Expected rightly: each part is read once, and only what is kept is made."""
    for _ in range(200):
        counts = rng.integers(0, 90, rng.integers(1, 7)).tolist()
        most = int(rng.integers(1, 120))
        parts = parts_of(counts)
        kept = read_evenly([f.part(f.count) for f in parts], most)
        assert_even(kept, sum(counts), most)
        assert max(f.reads for f in parts) <= 1
        assert sum(f.made for f in parts) == len(kept)


def test_a_wrong_guess_costs_a_second_reading_and_no_evenness(rng: np.random.Generator) -> None:
    for _ in range(200):
        counts = rng.integers(20, 90, rng.integers(1, 5)).tolist()
        most = int(rng.integers(100, 300))  # so many that each part has one of them
        parts = parts_of(counts)
        guesses = [count + int(rng.integers(-9, 10)) for count in counts]
        kept = read_evenly([f.part(g) for f, g in zip(parts, guesses, strict=True)], most)
        assert_even(kept, sum(counts), most)
        assert max(f.reads for f in parts) <= 2


def test_what_turns_out_not_to_be_there_is_replaced(rng: np.random.Generator) -> None:
    """A part of one frame that cannot be made, as a damaged picture: the sample is that of the others."""
    broken = int(rng.integers(50))
    parts = [Part(1, lambda n=n: iter([lambda: None if n == broken else n])) for n in range(50)]  # type: ignore[misc]
    kept = read_evenly(parts, 50)
    assert kept == [n for n in range(50) if n != broken]


def test_a_part_of_which_nothing_is_kept_is_not_read() -> None:
    parts = parts_of([10, 1, 1, 10])
    assert read_evenly([f.part(f.count) for f in parts], 2) == [0, 21]
    assert [f.reads for f in parts] == [1, 0, 0, 1]


def test_progress_rises_to_the_whole() -> None:
    told: list[tuple[int, int]] = []
    read_evenly([f.part(f.count) for f in parts_of([3, 4])], 7, lambda done, of: told.append((done, of)))
    assert told == [(n, 7) for n in range(1, 8)]


def test_positions_have_the_first_and_the_last() -> None:
    assert even_positions(10, 4).tolist() == [0, 3, 6, 9]
    assert even_positions(3, 9).tolist() == [0, 1, 2]
    assert even_positions(0, 5).tolist() == []
