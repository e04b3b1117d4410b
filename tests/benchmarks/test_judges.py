"""The outside judges: their outputs decoded, recalls at one precision, segmentation by path, pooled features."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.day_one.answers import Answer
from benchmarks.day_one.cameras import Camera
from benchmarks.judges.__main__ import DAY, detection_rows, matched_all, together, with_unclear, write_run
from benchmarks.judges.detectors import VEHICLES, decoded, distinct
from benchmarks.judges.minute import after_a_minute, read_passing
from benchmarks.judges.segmentation import agreement, torchvision_segmentation
from nightday.engines.detection.detections import Detection
from nightday.train.footage.scene import SceneError
from nightday.train.scores.detection_scores import Found, Matched

Image = NDArray[np.uint8]


def test_a_cell_of_nanodet_in_pixels(rng: np.random.Generator) -> None:
    """Distributions with one sharp peak each: distances are whole strides from the cell's middle."""
    scores, sides = rng.uniform(0, 0.01, (16, 80)), np.zeros((16, 44))
    scores[6, VEHICLES[1]] = 0.9
    for side, bins in enumerate((2, 1, 3, 4)):
        sides[6, 11 * side + bins] = 60
    rows = decoded(scores, sides, 8)
    # Cell 6 of 4×4 is in row 1, column 2: its middle is at x = 19.5, y = 11.5.
    assert rows[6] == pytest.approx([19.5 - 16, 11.5 - 8, 19.5 + 24, 11.5 + 32, 0.9])
    # All bins alike are their mean, five strides.
    assert rows[0, 2] == pytest.approx(3.5 + 5 * 8)


def test_of_two_on_one_vehicle_the_surer_stays() -> None:
    rows = np.array(
        [[0, 0, 10, 10, 0.5], [1, 0, 11, 10, 0.8], [30, 30, 40, 40, 0.1], [50, 0, 60, 10, 0.001]], float
    )
    assert distinct(rows).tolist() == [rows[1].tolist(), rows[2].tolist()]
    assert distinct(np.zeros((0, 5))).shape == (0, 5)


def test_recall_at_one_precision() -> None:
    """Sorted by confidence the detections are right, right, wrong, right, wrong, wrong."""
    found = [
        Found(c, s)
        for c, s in zip((0.9, 0.8, 0.7, 0.6, 0.5, 0.4), (10.0, 20.0, None, 40.0, None, None), strict=True)
    ]
    matched = Matched(tuple(found), (10.0, 20.0, 25.0, 40.0))
    assert matched.recall(matched.confidence_at(1.0)) == 2 / 4
    at = matched.confidence_at(0.75)
    assert matched.recall(at) == 3 / 4
    assert matched.recall_by_size(at) == (1, 1 / 2, 1)
    assert matched.recall(matched.confidence_at(1.01)) == 0


def test_the_gap_between_night_and_day() -> None:
    """A detector of bright blocks finds all by day, half of it in one answer, none by night."""

    def judge(pictures: Image) -> list[list[Detection]]:
        boxes = ((10, 10, 30, 30), (50, 40, 80, 60))
        return [
            [Detection("vehicle", 0.9, box) for box in boxes if picture[box[1], box[0], 0] > 200]
            for picture in pictures
        ]

    night, half, day = (np.zeros((80, 100, 3), np.uint8) for _ in range(3))
    half[10:30, 10:30] = day[10:30, 10:30] = day[40:60, 50:80] = 255
    boxes = [np.array([[10, 10, 30, 30], [50, 40, 80, 60]], float)]
    answers = {"night": [night], "half": [half], DAY: [day]}
    rows = {row["method"]: row for row in detection_rows(matched_all(judge, answers, boxes))}
    assert [rows[name]["gap_closed"] for name in ("night", "half", DAY)] == [0, 0.5, 1]
    assert rows["half"]["recall"] == 0.5
    assert rows["half"]["equal_precision"] == pytest.approx(0.9)
    assert np.isnan(rows["night"]["precision"])


def test_what_is_found_on_either_counts_once_and_clips_add_up() -> None:
    """One answer shows the first of two vehicles, the night shows both: each is found once."""

    def judge(pictures: Image) -> list[list[Detection]]:
        boxes = ((10, 10, 30, 30), (50, 40, 80, 60))
        levels = [pictures[0][box[1], box[0], 0] / 255 for box in boxes]
        return [
            [
                Detection("vehicle", level, box)
                for level, box in zip(levels, boxes, strict=True)
                if level > 0.1
            ]
        ]

    night, half = np.zeros((80, 100, 3), np.uint8), np.zeros((80, 100, 3), np.uint8)
    night[10:30, 10:30] = night[40:60, 50:80] = 100
    half[10:30, 10:30] = 250
    boxes = [np.array([[10, 10, 30, 30], [50, 40, 80, 60]], float)]
    found = matched_all(judge, {"night": [night], "half": [half], DAY: [night]}, boxes, ["half"])
    both = found["half and the night"]
    assert sorted(one.confidence for one in both.found) == pytest.approx([100 / 255, 250 / 255])
    assert all(one.size is not None for one in both.found)
    assert len(found["half"].found) == 1
    twice = together([found, found])
    assert len(twice["half"].found) == 2
    assert twice["half"].recall(0.0) == found["half"].recall(0.0) == 0.5


def test_the_relit_night_is_shown_where_the_picture_is_unclear(rng: np.random.Generator) -> None:
    """A thing that a model hides on the left and says so; on the right it is sure."""
    x_ref = rng.integers(120, 136, (64, 96, 3)).astype(np.uint8)
    n_ref = x_ref // 2
    night = n_ref.copy()
    night[24:40, 16:32] = night[24:40, 64:80] = 110
    trust = np.zeros_like(x_ref)
    trust[:, :48, 2] = 255
    camera = Camera("gate", True, x_ref, n_ref, [x_ref], [n_ref], [night], None, np.ones((64, 96), bool))
    (shown,) = with_unclear(camera, Answer([x_ref], [trust]))
    assert np.array_equal(shown[:, 48:], x_ref[:, 48:])
    assert np.median(shown[24:40, 16:32]) > 190
    assert np.abs(shown[:8, :48].astype(int) - x_ref[:8, :48]).max() <= 1


def test_runs_of_other_arguments_stay_in_the_file(tmp_path: Path) -> None:
    run = {"models": {"general": "general.pt"}, "backgrounds": "of the clip", "light": 1.0, "every": 12}
    for light, rows in ((1.0, [1]), (12.0, [2]), (1.0, [3])):
        write_run(tmp_path / "judges.json", run | {"light": light, "rows": rows})
    kept = json.loads((tmp_path / "judges.json").read_text())
    assert [(one["light"], one["rows"]) for one in kept] == [(12.0, [2]), (1.0, [3])]


def test_backgrounds_after_a_minute(rng: np.random.Generator, tmp_path: Path) -> None:
    """A vehicle that stands for most of a clip and drives off, one that never does, and one that parks."""
    road = rng.integers(90, 110, (40, 60, 3)).astype(np.uint8)
    rows, frames = ["frame,track,type,x1,y1,x2,y2,occluded,parked,stopped"], []
    for number in range(12):
        frame = road.copy()
        frame[30:38, 40:52] = 20
        rows.append(f"{number},3,car,40,30,52,38,0,1,0")
        frame[20:26, 4:12] = 200
        rows.append(f"{number},2,car,4,20,12,26,0,0,1")
        if number < 7:
            frame[4:12, 20:36] = 250
            rows.append(f"{number},1,bus,20,4,36,12,0,0,1")
        frames.append(frame)
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    made = after_a_minute(frames, read_passing(tmp_path / "boxes.csv"))
    assert np.array_equal(made.x_ref[4:12, 20:36], road[4:12, 20:36])
    assert np.array_equal(made.x_ref[30:38, 40:52], frames[0][30:38, 40:52])
    assert made.x_ref[20:26, 4:12].max() < 130
    assert made.filled == pytest.approx(8 * 10 / (40 * 60))
    assert np.array_equal(made.emptied[0][4:12, 20:36], road[4:12, 20:36])
    assert np.array_equal(made.emptied[0][:3], frames[0][:3])
    (tmp_path / "none.csv").write_text("frame,x1,y1,x2,y2\n0,1,2,3,4\n")
    with pytest.raises(SceneError, match=r"none\.csv: tells of no parked"):
        read_passing(tmp_path / "none.csv")


def test_agreement_is_the_mean_of_the_classes(rng: np.random.Generator) -> None:
    truth = np.zeros((40, 50), np.int64)
    truth[:20] = 1
    truth[0, :3] = 9  # too few to count
    seen = truth.copy()
    seen[:, :10] = 0
    keep = np.ones((40, 50), bool)
    shares = []
    for kind in (0, 1):
        both = sum(a == b == kind for a, b in zip(seen.flat, truth.flat, strict=True))
        either = sum(kind in (a, b) for a, b in zip(seen.flat, truth.flat, strict=True))
        shares.append(both / either)
    assert agreement([seen], [truth], keep) == pytest.approx(np.mean(shares))
    assert agreement([truth], [truth], keep) == 1
    keep[:, :10] = False
    assert agreement([seen], [truth], keep) == 1


class Small(nn.Module):
    """Two classes by brightness, as torchvision's networks give them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(x)}


def test_a_network_of_torchvision_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def make(**options: object) -> Small:
        asked.append(options)
        return Small()

    module = ModuleType("torchvision.models.segmentation")
    module.small = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", ModuleType("torchvision.models"))
    monkeypatch.setitem(sys.modules, "torchvision.models.segmentation", module)
    weights = {"head.weight": torch.tensor([[[[-1.0]]] * 3, [[[1.0]]] * 3]), "head.bias": torch.zeros(2)}
    torch.save(weights, tmp_path / "small.pth")
    segment = torchvision_segmentation("small", tmp_path / "small.pth")
    assert asked == [{"weights": None, "weights_backbone": None, "aux_loss": False}]
    picture = np.zeros((6, 8, 3), np.uint8)
    picture[:, 4:] = 255
    assert segment(picture).tolist() == [[0] * 4 + [1] * 4] * 6
    for name, path in (("large", "small.pth"), ("small", "none.pth")):
        with pytest.raises(SceneError, match=f"--segmentation {name}="):
            torchvision_segmentation(name, tmp_path / path)


# Operators of torchvision that are declared but not there would hurt detectors in the tests' own process.
IN_ITS_OWN_PROCESS = """
import sys
from pathlib import Path
import numpy as np
import torch
from benchmarks.judges import segmentation

name, path = "lraspp_mobilenet_v3_large", Path(sys.argv[1])
network = getattr(segmentation._networks(), name)(weights=None, weights_backbone=None).eval()
torch.save(network.state_dict(), path)
picture = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint8)
seen = segmentation.torchvision_segmentation(name, path)(picture)
mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
x = (torch.from_numpy(picture).float() / 255 - mean) / deviation
with torch.no_grad():
    made = network(x.permute(2, 0, 1)[None])["out"][0].argmax(0).numpy()
assert seen.shape == (48, 64) and np.array_equal(seen, made)
"""


@pytest.mark.slow
def test_a_network_of_torchvision_s_own_takes_its_published_file(tmp_path: Path) -> None:
    """Also where torchvision's compiled operators do not load. The weights here are random, their names are not."""
    path = tmp_path / "lraspp.pth"
    made = subprocess.run(
        [sys.executable, "-c", IN_ITS_OWN_PROCESS, str(path)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    state = torch.load(path, weights_only=True)
    # As in the published file, and as many parameters as torchvision's page tells.
    assert {"backbone.0.0.weight", "classifier.low_classifier.weight"} <= state.keys()
    assert sum(v.numel() for k, v in state.items() if not k.endswith(("mean", "var", "tracked"))) == 3_221_538
