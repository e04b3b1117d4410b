"""What the vehicle detector is trained on and how it is scored."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from benchmarks.train_vehicles import (
    FAR,
    PADDING,
    Clip,
    average_precision,
    far_zone,
    match,
    read_clips,
    write_dataset,
)


def _write_clip(path: Path, rows: list[tuple[int, str, float, float, float, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 96, 64
        for _ in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 200, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with path.with_suffix(".csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(("frame", "track", "type", "x1", "y1", "x2", "y2", "occluded", "parked", "stopped"))
        writer.writerows((frame, 1, kind, *box, 0, 0, 0) for frame, kind, *box in rows)


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    folder = tmp_path / "footage"
    box = (20.0, 50.0, 44.0, 60.0)
    _write_clip(
        folder / "a" / "one.mp4", [(0, "car", *box), (2, "bus", *box), (2, "car", 0.0, 50.0, 3.0, 60.0)]
    )
    _write_clip(folder / "a" / "two.mp4", [(4, "car", *box)])
    (folder / "a" / "bare.mp4").write_bytes(b"no boxes beside it")
    (folder / "manifest.csv").write_text(
        "path,scene,label,split,frames,mean_luma\n"
        "a/one.mp4,x,day,train,,\na/two.mp4,x,day,test,,\na/bare.mp4,y,day,train,,\na/still.jpg,z,day,train,,\n"
    )
    return folder


def test_splits_stay_apart_and_boxes_are_relative(footage: Path, tmp_path: Path) -> None:
    clips = read_clips(footage)
    assert [(clip.path.stem, clip.split) for clip in clips] == [("one", "train"), ("two", "test")]
    data = write_dataset(clips, tmp_path / "out", every=2)
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt")}
    train = [f"labels/train/0_0000{index}.txt" for index in (0, 2, 4)]
    assert names == {*train, *(f"labels/test/1_0000{index}.txt" for index in (0, 2, 4))}
    (line,) = (tmp_path / "out" / train[1]).read_text().splitlines()  # the sliver of 3 pixels is left out
    kind, *box = line.split()
    assert kind == "0"
    assert [float(value) for value in box] == pytest.approx([32 / 96, 55 / 64, 24 / 96, 10 / 64], abs=1e-6)
    assert (tmp_path / "out" / train[2]).read_text() == ""
    told = json.loads(data.read_text())
    assert told["train"] == "images/train"
    assert told["names"] == {"0": "vehicle"}


def test_the_unlabelled_distance_is_painted_for_training_only(footage: Path, tmp_path: Path) -> None:
    write_dataset(read_clips(footage), tmp_path / "out", every=2)
    taught = cv2.imread(str(tmp_path / "out" / "images" / "train" / "0_00000.png"))
    judged = cv2.imread(str(tmp_path / "out" / "images" / "test" / "1_00000.png"))
    assert (taught[50 - FAR : 50, 20:44] == PADDING).all()
    assert abs(taught[51:, 20:44].astype(int) - 200).max() < 10
    assert abs(taught[:, 50:].astype(int) - 200).max() < 10
    assert abs(judged.astype(int) - 200).max() < 10


def test_far_zone_lies_above_the_topmost_box_of_each_column() -> None:
    boxes = {0: np.array([[10.0, 70.0, 20.0, 90.0]]), 3: np.array([[15.0, 60.0, 30.0, 80.0]])}
    zone = far_zone(Clip(Path("x"), "train", boxes), 100, 40)
    tops = [zone[:, column].nonzero()[0] for column in (5, 12, 17, 29, 35)]
    assert [(rows.min(), rows.max()) if len(rows) else None for rows in tops] == [
        None, (70 - FAR, 69), (60 - FAR, 59), (60 - FAR, 59), None,
    ]  # fmt: skip


def test_each_box_is_matched_once_by_the_surest() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    found = [(1.0, 0.0, 11.0, 10.0), (0.0, 0.0, 10.0, 10.0), (20.0, 4.0, 30.0, 14.0), (20.0, 0.0, 30.0, 9.0)]
    assert match(found, boxes) == [0, None, None, 1]
    assert match(found, np.zeros((0, 4))) == [None] * 4
    assert match([], boxes) == []


def test_average_precision_is_the_area_under_the_envelope() -> None:
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for _ in range(20):
        count = int(rng.integers(1, 40))
        verdicts = [
            (float(c), bool(r)) for c, r in zip(rng.random(count), rng.random(count) < 0.6, strict=True)
        ]
        total = sum(right for _, right in verdicts) + int(rng.integers(1, 5))
        ranked = sorted(verdicts, reverse=True)
        points = []  # (recall, precision) after each detection
        for n in range(1, count + 1):
            right = sum(good for _, good in ranked[:n])
            points.append((right / total, right / n))
        area = 0.0
        for k in range(1, total + 1):  # the best precision at each recall or beyond
            area += max((p for r, p in points if r >= k / total - 1e-9), default=0.0) / total
        assert average_precision(verdicts, total) == pytest.approx(area)
    assert average_precision([], 5) == 0.0
    assert average_precision([(0.9, True), (0.8, True)], 2) == 1.0
