"""The mark and the boxes, read back from the pictures they were drawn in."""

import random

import numpy as np
import pytest
import torch

from nightday.engines.detection.detections import Detection
from nightday.pipeline.analysis.draw import draw_mark
from nightday.pipeline.analysis.draw_found import draw_detections

SIZES = [(288, 352), (480, 640), (1080, 1920), (2160, 3840), (32, 32), (40, 2000), (2000, 40)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("under", [0, 128, 255])
def test_the_mark_stands_out_on_anything_and_stays_in_its_corner(size: tuple[int, int], under: int) -> None:
    height, width = size
    rgb = np.full((height, width, 3), under, np.uint8)
    draw_mark(rgb)
    tall = max(15, round(height / 24))
    corner = rgb[height - tall :, max(0, width - 10 * tall) :]
    assert (corner < 30).mean() > 0.2  # the ground of the letters
    if height >= 288 and width >= 288:
        assert (corner > 200).mean() > 0.03  # the letters
        strong = (corner.max(axis=2) > 200).any(axis=1).mean()
        assert strong > 0.5  # they fill the mark's height
    outside = rgb.copy()
    outside[height - tall :, max(0, width - 10 * tall) :] = under
    assert (outside == under).all()


@pytest.mark.parametrize("size", [(288, 352), (2160, 3840)])
def test_the_letters_can_be_told_apart(size: tuple[int, int]) -> None:
    """Between thirteen characters, with a blank between the words, lie gaps with no ink in them."""
    rgb = np.zeros((*size, 3), np.uint8)
    draw_mark(rgb)
    ink = (rgb[size[0] - max(15, round(size[0] / 24)) :].max(axis=2) > 150).any(axis=0)
    runs = int((np.diff(ink.astype(int)) == 1).sum())
    assert 7 <= runs <= 16


def test_boxes_lie_where_they_should_and_are_labelled() -> None:
    rgb = np.zeros((288, 352, 3), np.uint8)
    draw_detections(rgb, [Detection("car", 0.87, (100.4, 120.0, 180.0, 160.0))])
    for y, x in ((120, 140), (160, 140), (140, 100), (140, 180)):
        assert rgb[y, x].any()
    assert not rgb[125:155, 105:175].any()
    label = rgb[110:119, 101:135]
    assert label.any(axis=2).mean() > 0.8
    assert (label == 0).all(axis=2).any()  # black letters in it


def test_a_class_keeps_its_colour() -> None:
    pictures = []
    for _ in range(2):
        rgb = np.zeros((288, 352, 3), np.uint8)
        draw_detections(rgb, [Detection("bus", 0.5, (50, 50, 90, 90))])
        pictures.append(rgb)
    np.testing.assert_array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, 20, 20),
        (340, 280, 900, 900),
        (-1e9, -1e9, 1e9, 1e9),
        (10, 10, 10, 10),
        (400, 400, 500, 500),
        (float("nan"), 0, 1, 1),
        (0, 0, float("inf"), 1),
    ],
)
def test_any_box_can_be_drawn(box: tuple[float, float, float, float]) -> None:
    for size in SIZES:
        rgb = np.zeros((*size, 3), np.uint8)
        draw_detections(rgb, [Detection("a rather long name of a class", 1.0, box)])


@pytest.mark.parametrize("size", SIZES)
def test_on_a_gpu_the_same_is_drawn(size: tuple[int, int]) -> None:
    """By slices of a tensor, against OpenCV, but for the corners of thick lines, which OpenCV rounds."""
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    height, width = size
    here = rng.integers(0, 256, (*size, 3), np.uint8)
    there = torch.from_numpy(here.copy())
    for label in ("car", "a rather long name of a class"):
        x1, x2 = sorted(rng.uniform(-0.2 * width, 1.2 * width, 2))
        y1, y2 = sorted(rng.uniform(-0.2 * height, 1.2 * height, 2))
        found = [Detection(label, float(rng.random()), (x1, y1, x2, y2))]
        draw_detections(here, found)
        draw_detections(there, found)
    draw_mark(here)
    draw_mark(there)
    differ = (here != there.numpy()).any(axis=2)
    assert differ.sum() <= 2 * 4 * max(1, round(height / 360)) ** 2 + (200 if min(size) < 200 else 0)
