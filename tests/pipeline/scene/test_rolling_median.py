"""The rolling median against ``numpy.median``, on fresh random input."""

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.pipeline.scene.rolling_median import STRIPS, RollingMedian

Pixels = NDArray[np.uint8]


def reference(ring: deque[Pixels]) -> Pixels:
    return np.asarray(np.floor(np.median(np.stack(ring), axis=0) + 0.5), np.uint8)


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 9, 25])
@pytest.mark.parametrize("levels", [2, 256])  # with 2 levels nearly every value has equals in the ring
def test_equals_numpy_median_before_and_after_the_ring_wraps(
    rng: np.random.Generator, frames: int, levels: int
) -> None:
    median, ring = RollingMedian(frames=frames), deque[Pixels](maxlen=frames)
    height, width = rng.integers(1, 40, 2)
    scale = 255 // (levels - 1)
    for _ in range(2 * frames + 3):
        picture = (rng.integers(0, levels, (height, width, 3)) * scale).astype(np.uint8)
        median.push(picture)
        ring.append(picture.copy())
        picture[...] = 0  # what the caller does with its array later is no matter
        np.testing.assert_array_equal(median.finish(), reference(ring))


def test_a_change_of_size_starts_afresh_even_half_way(rng: np.random.Generator) -> None:
    median = RollingMedian(frames=5)
    for shape in [(33, 20, 3), (20, 33, 3), (33, 20, 3)]:
        ring = deque[Pixels](maxlen=5)
        for _ in range(7):
            picture = rng.integers(0, 256, shape, dtype=np.uint8)
            median.push(picture)
            ring.append(picture)
            np.testing.assert_array_equal(median.finish(), reference(ring))
        median.push(picture)
        median.advance()
        assert not median.ready


def test_each_call_works_in_a_strip_and_the_picture_changes_at_the_end_only(rng: np.random.Generator) -> None:
    median = RollingMedian(frames=4)
    first, second = rng.integers(0, 256, (2, 64, 8, 3), dtype=np.uint8)
    median.push(first)
    before = median.finish()
    assert before is not None
    median.push(second)
    with pytest.raises(RuntimeError, match="still being worked in"):
        median.push(second)
    for _ in range(STRIPS - 1):
        median.advance()
        assert not median.ready
        assert median.picture is before
    median.advance()
    assert median.ready
    assert median.picture is not before
    np.testing.assert_array_equal(before, first)
    with pytest.raises(ValueError, match="read-only"):
        before[0, 0, 0] = 1


def test_no_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        RollingMedian(frames=0)


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_a_seed_stands_for_its_pictures_until_new_ones_take_their_places(
    rng: np.random.Generator, frames: int, count: int
) -> None:
    median, shape = RollingMedian(frames=frames), (23, 17, 3)
    seed = rng.integers(0, 256, shape, dtype=np.uint8)
    median.seed(seed, count=count)
    ring = deque([seed] * min(count, frames), maxlen=frames)
    assert median.picture is seed
    assert median.count == min(count, frames)
    assert median.nbytes == seed.nbytes
    for _ in range(2 * frames + 3):
        picture = rng.integers(0, 256, shape, dtype=np.uint8)
        median.push(picture)
        ring.append(picture)
        np.testing.assert_array_equal(median.finish(), reference(ring))
        assert median.count == len(ring)


def test_compacted_it_keeps_its_median_alone_and_goes_on_from_there(rng: np.random.Generator) -> None:
    median, shape = RollingMedian(frames=5), (40, 30, 3)
    pictures = rng.integers(0, 256, (9, *shape), dtype=np.uint8)
    for picture in pictures[:4]:
        median.push(picture)
        before = median.finish()
    median.push(pictures[4])
    median.advance()  # half worked in: that one is lost
    median.compact()
    assert median.ready
    assert median.picture is before
    assert before is not None
    assert (median.nbytes, median.count) == (before.nbytes, 4)
    median.compact()  # nothing more to free
    assert median.picture is before
    ring = deque([before] * 4, maxlen=5)
    for picture in pictures[5:]:
        median.push(picture)
        ring.append(picture)
        np.testing.assert_array_equal(median.finish(), reference(ring))


def test_a_seed_of_another_size_gives_way_to_the_first_picture(rng: np.random.Generator) -> None:
    median = RollingMedian(frames=5)
    median.seed(np.zeros((8, 8, 3), np.uint8), count=5)
    picture = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    median.push(picture)
    np.testing.assert_array_equal(median.finish(), picture)
    assert median.count == 1


@pytest.mark.parametrize("frames", [1, 4, 25])
def test_memory_is_bounded_and_nothing_until_it_is_used(rng: np.random.Generator, frames: int) -> None:
    median, shape = RollingMedian(frames=frames), (16, 16, 3)
    assert median.nbytes == 0
    median.compact()
    assert (median.nbytes, median.picture) == (0, None)
    median.seed(np.zeros(shape, np.uint8), count=frames)
    most = 0
    for _ in range(3 * frames):
        median.push(rng.integers(0, 256, shape, dtype=np.uint8))
        while not median.ready:
            most = max(most, median.nbytes)
            median.advance()
    assert most <= (2 * frames + 4) * 16 * 16 * 3
    median.clear()
    assert (median.nbytes, median.picture, median.count) == (0, None, 0)


@pytest.mark.parametrize("count", [0, -1])
def test_a_seed_of_no_pictures_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 picture, got {count}"):
        RollingMedian(frames=3).seed(np.zeros((2, 2, 3), np.uint8), count=count)
