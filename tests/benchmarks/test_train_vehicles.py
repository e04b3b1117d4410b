"""What the vehicle detector is trained on and how it is scored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from benchmarks.train_vehicles import read_clips, write_dataset
from nightday.engines.detection.letterbox import PADDING
from nightday.train.scores.detection_scores import FAR


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
    assert taught is not None
    assert judged is not None
    assert (taught[50 - FAR : 50, 20:44] == PADDING).all()
    assert abs(taught[51:, 20:44].astype(int) - 200).max() < 10
    assert abs(taught[:, 50:].astype(int) - 200).max() < 10
    assert abs(judged.astype(int) - 200).max() < 10
