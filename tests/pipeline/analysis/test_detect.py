"""A detector is asked about each picture, but not again about one that did not change."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection
from nightday.pipeline.analysis.detect import DetectStage
from nightday.pipeline.analysis.draw import draw_stage
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.fault_log import FaultLog
from nightday.pipeline.core.found import Looking
from nightday.pipeline.core.frame import Frame
from nightday.pipeline.core.stages import BatchItem
from tests.support.engines import DetectorStub

Picture = NDArray[np.uint8]
SIZE = 48, 64


class Detecting(DetectorStub):
    """Finds one object on each picture, whose confidence tells the picture: what is to be found can be computed."""

    def __init__(self) -> None:
        super().__init__(lambda frames: [found_on(np.asarray(frame)) for frame in frames])
        self.asked: list[int] = []
        self.fails = False

    def __call__(self, rgb: Any) -> Any:
        self.asked.append(len(rgb))
        if self.fails:
            raise RuntimeError("out of memory")
        return super().__call__(rgb)


def found_on(picture: Picture) -> list[Detection]:
    return [Detection("car", float(picture.mean()) / 255, (4, 8, 30, 40))]


class Camera:
    """As much of a camera as the stages ask for."""

    def __init__(self, detector: DetectorStub | None) -> None:
        self.detector = detector
        self.stats = CameraStats()
        self.faults = FaultLog("gate", lambda _: None)
        self.looking = Looking()
        self.followed: list[tuple[BatchItem, Sequence[Detection]]] = []

    def follow(self, item: BatchItem, faint: Sequence[Detection]) -> None:
        self.followed.append((item, faint))


def item(camera: Camera, picture: Any, number: int = 0) -> BatchItem:
    frame = Frame("gate", av.VideoFrame(SIZE[1], SIZE[0], "yuv420p"), number, Fraction(1, 25), 0.0, 0.0)
    return BatchItem(cast(Any, camera), frame, seen=picture, day=picture, translated=True)


@pytest.fixture
def picture(rng: np.random.Generator) -> Callable[[], Picture]:
    return lambda: rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def one_by_one(stage: DetectStage, camera: Camera, pictures: Sequence[Picture]) -> list[BatchItem]:
    """Pictures of a camera one after the other; boxes and the mark are drawn into each, as in a run."""
    items = []
    for number, picture in enumerate(pictures):
        items.append(item(camera, picture.copy(), number))
        assert stage(items[-1:]) == items[-1:]
        assert draw_stage(items[-1:]) == items[-1:]
    return items


def test_a_picture_that_did_not_change_is_not_looked_at_again(picture: Callable[[], Picture]) -> None:
    detector, first, second = Detecting(), picture(), picture()
    camera = Camera(detector)
    shown = [first, first, first, second, second, first]
    items = one_by_one(DetectStage(), camera, shown)
    assert detector.asked == [1, 1, 1]  # of pictures 0, 3 and 5
    assert [list(one.detections) for one in items] == [found_on(one) for one in shown]
    assert [one.frame.pts for one in items] == list(range(6))  # each has its own time
    stats = camera.stats.snapshot()
    assert (stats.detections, stats.detections_reused) == ({"car": 6}, 3)


def test_what_is_the_same_but_for_one_byte_is_looked_at(
    rng: np.random.Generator, picture: Callable[[], Picture]
) -> None:
    detector = Detecting()
    before, shown = picture(), []
    for _ in range(30):
        changed = before.copy()
        place = tuple(int(rng.integers(side)) for side in changed.shape)
        changed[place] ^= 1
        shown += [before, changed]
        before = changed
    camera = Camera(detector)
    items = one_by_one(DetectStage(), camera, shown)
    assert len(detector.asked) == 31  # each comes twice but for the first and the last
    assert [list(one.detections) for one in items] == [found_on(one) for one in shown]
    assert camera.stats.snapshot().detections_reused == 29


def test_each_camera_has_its_own_last_picture_and_the_others_of_a_batch_are_asked_about(
    picture: Callable[[], Picture],
) -> None:
    detector, stage, still = Detecting(), DetectStage(), picture()
    quiet, busy, without = Camera(detector), Camera(detector), Camera(None)
    for _ in range(4):
        items = [item(one, still.copy()) for one in (quiet, without)]
        items.append(item(busy, picture()))
        stage(items)
        newest = np.asarray(items[2].day)
        assert [list(one.detections) for one in items] == [found_on(still), [], found_on(newest)]
    assert detector.asked == [2, 1, 1, 1]
    assert [one.stats.snapshot().detections_reused for one in (quiet, busy, without)] == [3, 0, 0]


def test_another_size_or_another_detector_is_another_picture(picture: Callable[[], Picture]) -> None:
    detector, other, stage = Detecting(), Detecting(), DetectStage()
    camera, still = Camera(detector), picture()
    one_by_one(stage, camera, [still, still[:40], still])
    assert len(detector.asked) == 3
    camera.detector = other
    one_by_one(stage, camera, [still])
    assert other.asked == [1]


def test_a_detector_that_failed_is_asked_again(picture: Callable[[], Picture]) -> None:
    detector, stage, still = Detecting(), DetectStage(), picture()
    camera = Camera(detector)
    detector.fails = True
    (failed,) = one_by_one(stage, camera, [still])
    assert failed.detections == ()
    detector.fails = False
    (found,) = one_by_one(stage, camera, [still])
    assert list(found.detections) == found_on(still)
    assert (len(detector.asked), camera.stats.snapshot().detections_reused) == (2, 0)


def test_tensors_are_always_looked_at(picture: Callable[[], Picture]) -> None:
    """Comparing those on a GPU would have the worker wait for it."""
    detector = Detecting()
    detector.device = torch.device("cpu")
    camera, still = Camera(detector), torch.from_numpy(picture())
    stage = DetectStage()
    for _ in range(3):
        stage([item(camera, still)])
    assert (len(detector.asked), camera.stats.snapshot().detections_reused) == (3, 0)


def test_nothing_is_kept_of_a_camera_that_is_gone(picture: Callable[[], Picture]) -> None:
    stage, camera = DetectStage(), Camera(Detecting())
    one_by_one(stage, camera, [picture()])
    gone = weakref.ref(camera)
    del camera
    gc.collect()
    assert gone() is None
    assert len(stage._seen) == 0


def views(camera: Camera, seen: Picture, day: Picture) -> BatchItem:
    made = item(camera, seen)
    made.day = day
    return made


class Telling(DetectorStub):
    """Finds an object on each picture whose box tells the picture: its mean, to a hundredth of a level."""

    def __init__(self) -> None:
        super().__init__(lambda frames: [[told(np.asarray(frame))] for frame in frames])
        self.asked: list[int] = []

    def __call__(self, rgb: Any) -> Any:
        self.asked.append(len(rgb))
        return super().__call__(rgb)


def told(picture: Picture) -> Detection:
    at = round(float(picture.mean()) * 100)
    return Detection("car", 0.5, (at, 0, at + 1, 1))


def places(made: BatchItem) -> dict[str, tuple[float, ...]]:
    return {one.view: one.box for one in made.detections}


def test_it_looks_where_it_is_told_to(picture: Callable[[], Picture]) -> None:
    seen, day = picture() // 8, picture()
    expected: dict[str, dict[str, tuple[float, ...]]] = {
        "day": {"day": told(day).box},
        "night": {"night": told(seen).box},
        "both": {"day": told(day).box, "night": told(seen).box},
    }
    for on, found in expected.items():
        detector = Telling()
        camera = Camera(detector)
        camera.looking = Looking(on=on)  # type: ignore[arg-type]
        made = views(camera, seen, day)
        DetectStage()([made])
        assert places(made) == found
        assert detector.asked == [len(found)]  # both views in one batch


def test_both_views_of_several_cameras_go_in_one_batch(picture: Callable[[], Picture]) -> None:
    detector = Telling()
    cameras = [Camera(detector) for _ in range(3)]
    for camera, on in zip(cameras, ("both", "day", "both"), strict=True):
        camera.looking = Looking(on=on)  # type: ignore[arg-type]
    made = [views(camera, picture() // 8, picture()) for camera in cameras]
    DetectStage()(made)
    assert detector.asked == [5]
    assert [sorted(places(one)) for one in made] == [["day", "night"], ["day"], ["day", "night"]]


def test_each_view_that_did_not_change_is_not_looked_at_again(picture: Callable[[], Picture]) -> None:
    detector, stage = Telling(), DetectStage()
    camera = Camera(detector)
    camera.looking = Looking(on="both")
    nights, days = [picture() // 8 for _ in range(2)], [picture() for _ in range(2)]
    asked = []
    for at_night, at_day in ((0, 0), (0, 0), (1, 0), (1, 1), (0, 0)):
        made = views(camera, nights[at_night].copy(), days[at_day].copy())
        before = sum(detector.asked)
        stage([made])
        asked.append(sum(detector.asked) - before)
        assert places(made) == {"day": told(days[at_day]).box, "night": told(nights[at_night]).box}
    assert asked == [2, 0, 1, 1, 2]
    assert camera.stats.snapshot().detections_reused == 4


def test_a_picture_that_is_shown_as_it_was_seen_is_looked_at_once(picture: Callable[[], Picture]) -> None:
    detector = Telling()
    camera = Camera(detector)
    camera.looking = Looking(on="both")
    made = item(camera, picture())
    DetectStage()([made])
    assert detector.asked == [1]
    assert [one.view for one in made.detections] == ["both"]


def test_what_counts_is_of_the_classes_asked_for_and_sure_enough(picture: Callable[[], Picture]) -> None:
    found = [Detection("car", 0.9, (0, 0, 9, 9)), Detection("cat", 0.9, (0, 0, 9, 9))]
    found += [Detection("car", 0.5, (20, 0, 29, 9)), Detection("cat", 0.4, (20, 0, 29, 9))]
    camera = Camera(DetectorStub(lambda frames: [found for _ in frames]))
    camera.looking = Looking(classes=frozenset({"car"}), confidence=0.5)
    made = item(camera, picture())
    DetectStage()([made])
    assert list(made.detections) == found[:1]
    ((followed, faint),) = camera.followed
    assert followed is made
    assert list(faint) == [found[2]]
    assert camera.stats.snapshot().detections == {"car": 1}


def test_every_third_picture_is_looked_at_and_those_between_have_what_was_found(
    picture: Callable[[], Picture],
) -> None:
    detector = Telling()
    camera = Camera(detector)
    camera.looking = Looking(every=3)
    stage, shown = DetectStage(), [picture() for _ in range(7)]
    made = [item(camera, one, number) for number, one in enumerate(shown)]
    for one in made:
        stage([one])
    assert [list(one.detections) for one in made] == [[told(shown[number // 3 * 3])] for number in range(7)]
    assert (len(detector.asked), len(camera.followed)) == (3, 3)
    assert camera.stats.snapshot().detections == {"car": 3}


def test_a_picture_after_one_on_which_the_detector_failed_is_looked_at(
    picture: Callable[[], Picture],
) -> None:
    detector, stage = Detecting(), DetectStage()
    camera = Camera(detector)
    camera.looking = Looking(every=5)
    detector.fails = True
    one_by_one(stage, camera, [picture()])
    detector.fails = False
    assert camera.followed == []
    shown = picture()
    (found,) = one_by_one(stage, camera, [shown])
    assert list(found.detections) == found_on(shown)
