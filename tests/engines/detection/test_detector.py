"""The detector against ultralytics' own predict, on real frames, with small models of random weights."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nightday.engines.detection import detector as detector_module
from nightday.engines.detection.detections import Detection
from nightday.engines.detection.detector import Detector, load_detector
from nightday.engines.detection.letterbox import fit
from nightday.engines.detection.quiet_ultralytics import import_ultralytics
from nightday.engines.errors import DetectorError
from tests.support.tiny_detectors import NAMES, assert_same, predict, real_frames, write_model

MakeModel = Callable[..., Path]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    # predict, which is only the reference here, sets torch's number of threads, and sums differ with that number
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return real_frames()


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory, frames: np.ndarray) -> MakeModel:
    """Writes a tiny model of one of ultralytics' own designs, with random weights that find something."""

    def make(design: str = "yolov8n.yaml", **checkpoint: Any) -> Path:
        return write_model(tmp_path_factory.mktemp("model") / "model.pt", frames, design, **checkpoint)

    return make


@pytest.fixture(scope="module")
def model(make_model: MakeModel) -> Path:
    return make_model()


@pytest.mark.parametrize(
    ("design", "settings"),
    [
        ("yolov8n.yaml", {}),
        ("yolov8n.yaml", {"conf": 0.4, "iou": 0.3}),
        ("yolo11n.yaml", {}),
        ("yolo26n.yaml", {}),
        ("yolo26n.yaml", {"nms": False}),
        ("yolov10n.yaml", {"nms": False, "conf": 0.4}),
    ],
)
def test_boxes_are_those_of_predict(
    make_model: MakeModel, frames: np.ndarray, tmp_path: Path, design: str, settings: dict[str, Any]
) -> None:
    for _ in range(10):  # some random weights find too little to compare
        path = make_model(design)
        theirs = predict(path, frames, tmp_path, **settings)
        if all(len(found) >= 3 for found in theirs):
            break
    mine = load_detector(
        path,
        confidence=settings.get("conf", 0.25),
        iou=settings.get("iou", 0.7),
        end_to_end=settings.get("nms") is False,
        device="cpu",
    )(frames)
    assert all(len(found) >= 3 for found in theirs), "the reference found nothing to compare"
    assert_same(mine, theirs)


def test_a_model_without_an_end_to_end_head_is_named(model: Path) -> None:
    with pytest.raises(DetectorError, match="no end-to-end head"):
        load_detector(model, end_to_end=True)


@pytest.mark.parametrize("size", [(287, 351), (123, 500), (500, 77), (320, 320)])
def test_boxes_on_odd_sizes_are_those_of_predict(
    model: Path, frames: np.ndarray, tmp_path: Path, size: tuple[int, int]
) -> None:
    height, width = size
    odd = np.ascontiguousarray(np.tile(frames, (1, 2, 2, 1))[:2, :height, :width])
    theirs = predict(model, odd, tmp_path)
    assert sum(map(len, theirs)) >= 3
    assert_same(load_detector(model, device="cpu")(odd), theirs)


def test_letterbox_is_that_of_ultralytics() -> None:
    import_ultralytics()
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.ops import scale_boxes

    seed = random.randrange(2**31)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for _ in range(30):
        frame = tuple(int(side) for side in rng.integers(1, 900, 2))
        into = tuple(int(side) for side in rng.integers(1, 21, 2) * 32)
        mine = fit(frame, into=into, stride=32)  # type: ignore[arg-type]
        rgb = rng.integers(0, 256, (*frame, 3), np.uint8)
        theirs = LetterBox(into, auto=True, stride=32)(image=rgb)
        np.testing.assert_array_equal(mine.apply(rgb), theirs, err_msg=f"{frame} into {into}")
        assert mine.outer == theirs.shape[:2]
        corners = rng.uniform(-50, 700, (20, 4))
        gain = mine.inner[1] / frame[1], mine.inner[0] / frame[0]
        expected = scale_boxes(
            mine.outer, corners.copy(), frame, ratio_pad=(gain[::-1], (mine.offset[1], mine.offset[0]))
        )
        np.testing.assert_allclose(mine.to_frame(corners), expected, atol=1e-6)


def test_letterbox_on_a_gpu_is_the_same() -> None:
    seed = random.randrange(2**31)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    for _ in range(30):
        frame = tuple(int(side) for side in rng.integers(1, 900, 2))
        into = tuple(int(side) for side in rng.integers(1, 21, 2) * 32)
        box = fit(frame, into=into, stride=32)  # type: ignore[arg-type]
        rgb = rng.integers(0, 256, (2, *frame, 3), np.uint8)
        here = np.stack([box.apply(picture) for picture in rgb]).astype(int)
        there = box.apply_on_device(torch.from_numpy(rgb)).numpy()
        assert there.shape == here.shape
        assert np.abs(there - here).max() <= 1, f"{frame} into {into}"


def test_a_tensor_is_searched_like_an_array(model: Path, frames: np.ndarray) -> None:
    detector = load_detector(model, device="cpu", image_size=352)  # nothing is resampled
    assert_same(detector(torch.from_numpy(frames)), detector(frames))


def test_letterbox_and_back_is_the_identity() -> None:
    box = fit((271, 483), into=(352, 352), stride=32)
    (height, width), (top, left) = box.inner, box.offset
    whole = np.array([[left, top, left + width, top + height]], float)
    np.testing.assert_allclose(box.to_frame(whole), [[0, 0, 483, 271]])


def test_a_batch_finds_what_single_frames_find(model: Path, frames: np.ndarray) -> None:
    detector = load_detector(model, device="cpu")
    together = detector(frames)
    assert sum(map(len, together)) > 0
    # Beside copies of itself, for batches of another size take other kernels, whose rounding random weights magnify.
    alone = [detector(np.stack([frame] * len(frames)))[0] for frame in frames]
    assert_same(together, alone)
    assert len(detector(frames[:1])) == 1


def test_frames_are_left_as_they_are_and_boxes_lie_within(model: Path, frames: np.ndarray) -> None:
    before = frames.copy()
    frozen = frames.copy()
    frozen.flags.writeable = False  # as an engine's output may be
    for found in load_detector(model, confidence=0.05, device="cpu")(frozen):
        assert found == sorted(found, key=lambda one: -one.confidence)
        for one in found:
            x1, y1, x2, y2 = one.box
            assert 0 <= x1 < x2 <= 352
            assert 0 <= y1 < y2 <= 288
            assert one.label in NAMES.values()
            assert 0.05 < one.confidence <= 1
    np.testing.assert_array_equal(frozen, before)


def test_candidates_are_bounded_to_the_surest(
    model: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.utils.nms import non_max_suppression

    monkeypatch.setattr(detector_module, "MAX_COMPARED", 40)
    detector = load_detector(model, confidence=0.01, device="cpu")
    box = fit((288, 352), into=detector.image_size, stride=32)
    batch = torch.from_numpy(np.stack([box.apply(frame) for frame in frames])).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        raw = detector._network.run(batch)[0]
        assert int((raw[:, 4:].amax(1) > 0.01).sum(1).min()) > 40
        rows = non_max_suppression(raw.clone(), 0.01, 0.7, max_nms=40)
    expected = [
        [
            Detection(NAMES[int(row[5])], float(row[4]), (x1, y1, x2, y2))
            for row, (x1, y1, x2, y2) in zip(one, box.to_frame(one[:, :4].numpy()).tolist(), strict=True)
            if x2 > x1 and y2 > y1
        ]
        for one in rows
    ]
    assert_same(detector(frames), expected)


def test_the_input_size_is_the_training_s_unless_given(make_model: MakeModel, frames: np.ndarray) -> None:
    path = make_model(train_args={"imgsz": 352})
    assert load_detector(path, device="cpu").image_size == (352, 352)
    assert load_detector(path, image_size=200, device="cpu").image_size == (224, 224)
    assert load_detector(make_model(train_args={}), device="cpu").image_size == (640, 640)


def test_an_averaged_model_goes_before_the_last(make_model: MakeModel) -> None:
    averaged = torch.load(make_model(), weights_only=False)["model"]
    averaged.names = {0: "a", 1: "b", 2: "c"}
    detector = load_detector(make_model(ema=averaged), device="cpu")
    assert detector.names == averaged.names


def test_file_names_that_ultralytics_would_rewrite_are_read(model: Path, tmp_path: Path) -> None:
    for name in ("yolov5n.pt", "it's.pt", "best", "model.weights", "zwölf Meter.pt"):
        path = tmp_path / name
        path.write_bytes(model.read_bytes())
        assert load_detector(path, device="cpu").names == NAMES


def test_missing_extra_says_how_to_install_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ultralytics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ultralytics", None)  # what makes an import fail as if it were not there
    with pytest.raises(DetectorError) as caught:
        load_detector(model)
    assert "pip install -c requirements.lock -e '.[detect]'" in str(caught.value)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


class _Shell:
    """What an attacker's model file holds: a call of the unpickler's choosing."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.witness,))


def _faulty(kind: str, path: Path) -> None:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a model\n")
    elif kind == "random":
        path.write_bytes(random.randbytes(4096))
    elif kind == "tensors":
        torch.save({"weight": torch.zeros(3)}, path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "plain module":
        torch.save({"model": torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1))}, path)
    elif kind == "shell":
        torch.save({"model": _Shell(path.with_suffix(".ran"))}, path)
    elif kind == "shell, plain pickle":
        path.write_bytes(pickle.dumps(_Shell(path.with_suffix(".ran")), protocol=2))


@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "random", "tensors", "tensor", "plain module", "shell", "shell, plain pickle"],
)
def test_what_is_no_detection_model_is_named_and_not_run(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "faulty.pt"
    _faulty(kind, path)
    with pytest.raises(DetectorError) as caught:
        load_detector(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not an ultralytics detection model")
    assert "\n" not in message
    assert "model.pt" not in message  # the name it is read by
    assert not path.with_suffix(".ran").exists()


def test_a_truncated_model_is_named(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(model.read_bytes()[:-2000])
    with pytest.raises(DetectorError, match="not an ultralytics detection model"):
        load_detector(path)


@pytest.mark.parametrize(
    ("design", "task"),
    [("yolov8n-pose.yaml", "pose"), ("yolov8n-obb.yaml", "obb"), ("yolov8n-cls.yaml", "classify")],
)
def test_models_for_another_task_are_named(tmp_path: Path, design: str, task: str) -> None:
    import_ultralytics()
    from ultralytics import YOLO

    path = tmp_path / "other.pt"
    YOLO(design, verbose=False).save(path)
    with pytest.raises(DetectorError, match=task):
        load_detector(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pt", tmp_path):
        with pytest.raises(DetectorError) as caught:
            load_detector(path)
        assert str(caught.value).startswith(f"{path}: no such detection model")


@pytest.mark.parametrize(
    "setting",
    [{"confidence": 1.1}, {"confidence": float("nan")}, {"iou": -0.1}, {"image_size": 0}],
)
def test_settings_out_of_range_are_refused(model: Path, setting: dict[str, Any]) -> None:
    name = next(iter(setting))
    with pytest.raises(ValueError, match=name):
        load_detector(model, **setting)


def test_only_batches_of_rgb_bytes_are_taken(model: Path, frames: np.ndarray) -> None:
    detector: Detector = load_detector(model, device="cpu")
    assert detector(frames[:0]) == []
    wrongs: list[Any] = [frames[0], frames.astype(np.float32), frames[..., :1], frames[:, :0]]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="expected uint8"):
            detector(wrong)


QUIET = """
import importlib.abc, logging, os, sys
import cv2, numpy as np, torch

class NoTorchvision(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")

sys.meta_path.insert(0, NoTorchvision())
records = []
root = logging.getLogger()
root.addHandler(type("Recorder", (logging.Handler,), {"emit": lambda self, record: records.append(record)})())
torch.set_num_threads(2)
cv2.setNumThreads(2)
def state():
    return (dict(os.environ), torch.get_num_threads(), cv2.getNumThreads(), torch.save,
            str(np.get_printoptions()), root.level, len(root.handlers))
before = state()
from nightday.engines.detection.detector import load_detector
assert "ultralytics" not in sys.modules, "imported before it is asked for"
load_detector(sys.argv[1], device="cpu")(np.zeros((2, 64, 96, 3), np.uint8))
after = state()
for was, now in zip(before, after, strict=True):
    assert was == now, (was, now)
import ultralytics.utils as told
assert not told.ONLINE and not told.AUTOINSTALL
logging.getLogger("ultralytics").warning("heard")
assert [record.getMessage() for record in records] == ["heard"], records
"""


def test_ultralytics_leaves_the_process_and_the_home_alone(model: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", QUIET, str(model)],
        cwd=root,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": str(root),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(home.rglob("*")) == []
