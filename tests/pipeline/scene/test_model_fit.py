"""Whether a model's scene is told from another camera's, by day and by night."""

import functools
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import pack_with_backgrounds
from nightday.engines.model.settings import LIGHT
from nightday.pipeline.scene.model_fit import EVERY, FEWEST_LOOKS, ModelFit, shows_scene
from nightday.pipeline.scene.model_scene import scene_of
from nightday.pipeline.scene.scene_change import small_view
from tests.support.models import of_another_street

CLIPS = Path("benchmarks/clips")
WEIGHTS = Path("weights")


@functools.cache
def frames(clip: str, count: int = 6) -> list[np.ndarray]:
    with av.open(str(CLIPS / clip)) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return every[:: len(every) // count]


DAY, NIGHT = "day_tfl_09731_a1_barnet.mp4", "night_a1_barnet_simulated.mp4"
OTHER = "night_tfl_07450_piccadilly.mp4"


@pytest.mark.parametrize(
    ("model", "clip", "fits"),
    [
        ("a1_barnet.pt", NIGHT, True),
        ("a1_barnet.pt", DAY, True),
        ("a1_barnet.pt", OTHER, False),
        ("another street", NIGHT, False),
        ("another street", DAY, False),
        ("another street", OTHER, False),
    ],
)
def test_models_know_their_scenes(tmp_path: Path, model: str, clip: str, fits: bool) -> None:
    another = model == "another street"
    scene = scene_of(of_another_street(tmp_path / "street.pt") if another else WEIGHTS / model)
    assert scene is not None
    assert scene.by_day is another
    watch = ModelFit(scene.rgb)
    now, frame = 0.0, frames(clip)[0]
    while watch.due(now) and now < 20 * EVERY:
        watch.look(frame, seconds=now)
        now += EVERY
    assert watch.fits is fits
    assert now <= (EVERY if fits else 20 * EVERY)


def test_a_model_with_backgrounds_knows_the_scene_it_was_trained_at_and_the_general_one_none(
    tmp_path: Path,
) -> None:
    assert scene_of(WEIGHTS / "general.pt") is None
    day, night = frames(DAY)[0], frames(NIGHT)[0]
    model = NightToDay(replace(LIGHT, blocks=1, width=4, backgrounds=True))
    packed, pairs = pack_with_backgrounds([night] * 4, [(day, night)])
    save_checkpoint(tmp_path / "gate.pt", model, qualification_frames=packed, qualification_backgrounds=pairs)
    scene = scene_of(tmp_path / "gate.pt")
    assert scene is not None
    assert scene.by_day
    np.testing.assert_array_equal(scene.rgb, day)


def test_nothing_is_said_before_some_looks_nor_of_a_view_without_structure(tmp_path: Path) -> None:
    scene = scene_of(of_another_street(tmp_path / "street.pt"))
    assert scene is not None
    watch = ModelFit(scene.rgb)
    other = frames(DAY, 1)[0]
    said = [watch.look(other, seconds=EVERY * number) for number in range(FEWEST_LOOKS)]
    assert said == [None] * (FEWEST_LOOKS - 1) + [False]
    assert not watch.due(EVERY * (FEWEST_LOOKS - 0.5))
    fog = ModelFit(scene.rgb)
    for number in range(20):
        assert fog.look(np.full((288, 352, 3), 190, np.uint8), seconds=EVERY * number) is None
    assert not ModelFit(None).due(0)


@pytest.mark.parametrize("change", ["shifted", "zoomed", "cropped", "half the size"])
def test_a_camera_that_was_moved_a_little_is_not_condemned(change: str) -> None:
    day = frames(DAY, 1)[0]
    scene = small_view(day)[1]
    night = frames(NIGHT, 1)[0]
    height, width = night.shape[:2]
    if change == "shifted":
        night = np.roll(night, (8, -20), (0, 1))
    elif change == "zoomed":
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), 0, 1.1)
        night = cv2.warpAffine(night, turn, (width, height))
    elif change == "cropped":
        night = night[6:-6, 8:-8]
    else:
        night = cv2.resize(night, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    assert shows_scene(scene, [small_view(night)[1]]) is not False
