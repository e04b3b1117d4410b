"""Labels beside pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nightday.train.footage.labels import LabelError, labels_of, read_yolo
from nightday.train.footage.scene import load_scene, write_picture


def test_yolo_boxes_in_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.25 0.2 0.1\n\n4 0.1 0.9 0.1 0.2\n")
    made = read_yolo(tmp_path / "a.txt", (200, 100, 3))
    assert made == pytest.approx(np.array([[40, 40, 60, 60], [5, 160, 15, 200]]))
    assert read_yolo(tmp_path / "none.txt", (200, 100, 3)).shape == (0, 4)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    for text in ("0 0.5 0.5 0.1\n", "0 a b c d\n"):
        (tmp_path / "a.txt").write_text(text)
        with pytest.raises(LabelError, match=r"a\.txt: cannot be read as labels"):
            read_yolo(tmp_path / "a.txt", (20, 20))


def test_nights_are_kept_back_with_their_labels(tmp_path: Path) -> None:
    """Of 30 nights the last six at a tenth; of more at most eight, spread."""
    for i in range(30):
        write_picture(tmp_path / "day" / f"{i:02d}.png", np.full((32, 40, 3), 100, np.uint8))
        write_picture(tmp_path / "night" / f"{i:02d}.png", np.full((32, 40, 3), i, np.uint8))
    assert load_scene(tmp_path, hold_back=0.1).night_boxes == []
    (tmp_path / "night" / "29.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    scene = load_scene(tmp_path, hold_back=0.1)
    assert [int(night[0, 0, 0]) for night in scene.held_back_nights] == [24, 25, 26, 27, 28, 29]
    assert [int(night[0, 0, 0]) for night in scene.night] == [*range(24)]
    assert [len(boxes) for boxes in scene.night_boxes] == [0, 0, 0, 0, 0, 1]
    assert scene.night_boxes[-1].tolist() == [[10, 8, 30, 24]]
    many = load_scene(tmp_path, hold_back=0.5)
    assert len(many.held_back_nights) == 8
    assert len(many.night) == 15
    assert labels_of([tmp_path / "night" / "01.png"], (32, 40)) == []
