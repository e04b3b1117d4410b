"""Zones, lines, ways and masks, read back from the pictures they were drawn in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nightday.engines.detection.detections import Detection
from nightday.pipeline.analysis.draw_found import draw_detections, draw_followed
from nightday.pipeline.core.found import Followed, Line, Zone

SIZES = [(288, 352), (1080, 1920), (32, 32), (2000, 40)]
ZONE = Zone("yard", ((0.1, 0.2), (0.9, 0.3), (0.8, 0.9), (0.2, 0.8)), 2)
LINE = Line("gate", (0.5, 0.3), (0.5, 0.9), 3, 1)
WAY = ("car", ((20.0, 100.0), (60.0, 104.0), (110.0, 130.0)))


def grey(size: tuple[int, int]) -> np.ndarray:
    return np.full((*size, 3), 100, np.uint8)


def test_a_zone_is_an_outline_that_leaves_the_picture_visible() -> None:
    rgb = grey((720, 1280))
    draw_followed(rgb, Followed(zones=(ZONE,)))
    changed = (rgb != 100).any(axis=2)
    assert 0.002 < changed.mean() < 0.02
    assert not changed[300:500, 400:800].any()  # nothing within it
    for (x1, y1), (x2, y2) in zip(ZONE.points, ZONE.points[1:] + ZONE.points[:1], strict=True):
        for share in (0.3, 0.5, 0.7):
            x, y = (round((a + share * (b - a)) * side) for a, b, side in ((x1, x2, 1279), (y1, y2, 719)))
            assert changed[y - 1 : y + 2, x - 1 : x + 2].any()
    edge = rgb[250:600][changed[250:600]]
    assert (edge == (100 + 245) // 2).all()  # half of the picture shows through


def test_a_line_points_to_the_side_on_which_one_is_in() -> None:
    """From the upper edge down: its left-hand side is to the right in the picture."""
    rgb = grey((720, 1280))
    draw_followed(rgb, Followed(lines=(LINE,)))
    changed = (rgb != 100).any(axis=2)
    middle = slice(round(0.6 * 720) - 12, round(0.6 * 720) + 12)
    right, left = changed[middle, 645:680].sum(), changed[middle, 600:635].sum()
    assert right > 20
    assert left == 0
    turned = grey((720, 1280))
    draw_followed(turned, Followed(lines=(Line("gate", LINE.end, LINE.start, 0, 0),)))
    assert (turned != 100).any(axis=2)[middle, 600:635].sum() > 20


def test_a_way_is_drawn_where_the_object_stood() -> None:
    rgb = grey((288, 352))
    draw_followed(rgb, Followed(tails=(WAY,)))
    changed = (rgb != 100).any(axis=2)
    for x, y in WAY[1]:
        assert changed[int(y), int(x)]
    assert changed.mean() < 0.01


def test_a_mask_tints_what_it_covers_and_nothing_else() -> None:
    outline = ((100.0, 100.0), (180.0, 100.0), (140.0, 160.0))
    rgb = grey((288, 352))
    draw_detections(rgb, [Detection("car", 0.87, (100, 100, 180, 160), outline=outline)])
    tinted = rgb[120, 140].astype(int)
    assert 0 < np.abs(tinted - 100).max() < 50
    assert (rgb[150, 105] == 100).all()  # within the box, beside the triangle


def test_a_number_stands_in_the_label_in_place_of_the_confidence() -> None:
    """Fewer letters hide less."""
    with_number, without = grey((288, 352)), grey((288, 352))
    draw_detections(without, [Detection("car", 0.87, (100, 120, 180, 160))])
    draw_detections(with_number, [Detection("car", 0.87, (100, 120, 180, 160), track=12)])
    plates = [(rgb[105:119] != 100).any(axis=2).any(axis=0).sum() for rgb in (with_number, without)]
    assert 10 < plates[0] < plates[1]


def test_no_box_runs_through_a_label() -> None:
    first, second = Detection("car", 0.87, (100, 120, 180, 160)), Detection("bus", 0.5, (110, 100, 200, 150))
    together, alone = grey((288, 352)), grey((288, 352))
    draw_detections(together, [first, second])
    draw_detections(alone, [first])
    label = slice(108, 119), slice(101, 109)  # left of the second's own label
    np.testing.assert_array_equal(together[label], alone[label])
    box_edge = together[112:118, 110]  # the second's left edge, under the first's label
    np.testing.assert_array_equal(box_edge, alone[112:118, 110])


@pytest.mark.parametrize("size", SIZES)
def test_anything_can_be_drawn_and_on_a_gpu_the_same_is(
    size: tuple[int, int], rng: np.random.Generator
) -> None:
    height, width = size
    here = rng.integers(0, 256, (*size, 3), np.uint8)
    there = torch.from_numpy(here.copy())
    ways = tuple(("car", tuple(map(tuple, rng.uniform(-1, 2, (5, 2)) * (width, height)))) for _ in range(3))
    followed = Followed((ZONE,), (LINE,), ways)
    outline = tuple(map(tuple, rng.uniform(-1, 2, (7, 2)) * (width, height)))
    found = [Detection("car", 0.5, (-1e9, 5, 20, 1e9), outline=outline, track=3)]
    for rgb in (here, there):
        draw_followed(rgb, followed)
        draw_detections(rgb, found)
    differ = (here != there.numpy()).any(axis=2)
    assert differ.sum() <= 2 * 4 * max(1, round(height / 360)) ** 2 + (200 if min(size) < 200 else 0)
