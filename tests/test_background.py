"""The rolling median against ``numpy.median``, on fresh random input."""

import os
import secrets
from collections import deque
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import png
from pipeline.background import STRIPS, Background, RollingMedian
from pipeline.png import save_png


@pytest.fixture
def rng() -> np.random.Generator:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def reference(ring: deque[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.floor(np.median(np.stack(ring), axis=0) + 0.5).astype(np.uint8)


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 9, 25])
@pytest.mark.parametrize("levels", [2, 256])  # with 2 levels nearly every value has equals in the ring
def test_equals_numpy_median_before_and_after_the_ring_wraps(
    rng: np.random.Generator, frames: int, levels: int
) -> None:
    median, ring = RollingMedian(frames=frames), deque[NDArray[np.uint8]](maxlen=frames)
    height, width = rng.integers(1, 40, 2)
    scale = 255 // (levels - 1)
    for _ in range(2 * frames + 3):
        picture = (rng.integers(0, levels, (height, width, 3)) * scale).astype(np.uint8)
        median.push(picture)
        ring.append(picture.copy())
        picture[...] = 0  # what the caller does with its array later is no matter
        np.testing.assert_array_equal(median.settle(), reference(ring))


def test_a_change_of_size_starts_afresh_even_half_way(rng: np.random.Generator) -> None:
    median = RollingMedian(frames=5)
    for shape in [(33, 20, 3), (20, 33, 3), (33, 20, 3)]:
        ring = deque[NDArray[np.uint8]](maxlen=5)
        for _ in range(7):
            picture = rng.integers(0, 256, shape, dtype=np.uint8)
            median.push(picture)
            ring.append(picture)
            np.testing.assert_array_equal(median.settle(), reference(ring))
        median.push(picture)
        median.advance()
        assert not median.settled


def test_each_call_works_in_a_strip_and_the_picture_changes_at_the_end_only(rng: np.random.Generator) -> None:
    median = RollingMedian(frames=4)
    first, second = rng.integers(0, 256, (2, 64, 8, 3), dtype=np.uint8)
    median.push(first)
    before = median.settle()
    assert before is not None
    median.push(second)
    with pytest.raises(RuntimeError, match="still being worked in"):
        median.push(second)
    for _ in range(STRIPS - 1):
        median.advance()
        assert not median.settled
        assert median.picture is before
    median.advance()
    assert median.settled
    assert median.picture is not before
    np.testing.assert_array_equal(before, first)
    with pytest.raises(ValueError, match="read-only"):
        before[0, 0, 0] = 1


def test_no_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        RollingMedian(frames=0)


def test_background_samples_by_the_cameras_clock(rng: np.random.Generator, tmp_path: Path) -> None:
    background = Background(frames=3, every=2.0, path=tmp_path / "new" / "bg.png")
    assert not background.save()
    ring = deque[NDArray[np.uint8]](maxlen=3)
    for index in range(250):  # 10 s at 25 fps: samples at 0, 2, 4, 6, 8 s
        picture = rng.integers(0, 256, (32, 24, 3), dtype=np.uint8)
        background.observe(picture, seconds=100 + index / 25)
        if index % 50 == 0:
            ring.append(picture)
    background.settle()
    assert background.picture is not None
    np.testing.assert_array_equal(background.picture, reference(ring))
    assert background.save()
    assert not background.save()  # nothing new
    saved = cv2.imread(str(tmp_path / "new" / "bg.png"))
    np.testing.assert_array_equal(saved[..., ::-1], background.picture)
    assert os.listdir(tmp_path / "new") == ["bg.png"]


def test_a_sample_waits_until_the_one_before_is_worked_in(rng: np.random.Generator) -> None:
    background = Background(frames=9, every=0.0, path=None)
    pictures = rng.integers(0, 256, (2 * STRIPS, 32, 24, 3), dtype=np.uint8)
    for index, picture in enumerate(pictures):
        background.observe(picture, seconds=index / 25)
    assert background.picture is not None
    np.testing.assert_array_equal(background.picture, reference(deque([pictures[0], pictures[STRIPS]])))


def test_a_failed_write_leaves_the_old_picture_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bg.png"
    save_png(path, np.full((8, 8, 3), 7, np.uint8))
    before = path.read_bytes()

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(png.os, "replace", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_png(path, np.full((8, 8, 3), 9, np.uint8))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["bg.png"]
