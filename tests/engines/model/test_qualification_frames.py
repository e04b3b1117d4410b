"""Golden frames in checkpoints."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.errors import CheckpointError
from nightday.engines.model.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.qualification_frames import (
    MAX_BYTES,
    MAX_BYTES_WITH_BACKGROUNDS,
    backgrounds_of_content,
    frames_of_checkpoint,
    pack,
    pack_with_backgrounds,
    read_frames,
    synthetic_backgrounds,
    synthetic_nights,
)
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.scene import Scene, write_picture
from nightday.train.run.settings import TrainSettings
from nightday.train.run.trainer import Trainer
from nightday.train.run.validation import Validator

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "night_tfl_07450_piccadilly.mp4"
TINY = GeneratorSettings(blocks=1, width=4, norm="batch")
SEEING = GeneratorSettings(blocks=1, width=4, norm="batch", backgrounds=True)


@pytest.fixture
def noise() -> list[NDArray[np.uint8]]:
    seed = np.random.SeedSequence().entropy
    print("seed", seed)
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 60, (64, 80, 3), dtype=np.uint8) for _ in range(21)]


def test_frames_come_back_bit_for_bit_spread_over_all(tmp_path: Path, noise: list[NDArray[np.uint8]]) -> None:
    path = tmp_path / "m.pt"
    save_checkpoint(path, NightToDay(TINY), qualification_frames=pack(noise))
    again = frames_of_checkpoint(path)
    indices = [next(i for i, frame in enumerate(noise) if np.array_equal(frame, one)) for one in again]
    assert len(indices) == 8
    assert (indices[0], indices[-1]) == (0, 20)
    assert set(np.diff(indices)) <= {2, 3}
    save_checkpoint(path, NightToDay(TINY), qualification_frames=pack(noise[:2]))
    assert len(frames_of_checkpoint(path)) == 2
    assert pack([]) == []


def test_they_have_room_in_the_file(noise: list[NDArray[np.uint8]]) -> None:
    kept = pack([np.tile(frame, (17, 24, 1))[:1080] for frame in noise])
    assert sum(map(len, kept)) <= MAX_BYTES
    assert len(kept) >= 4
    picture = cv2.imdecode(kept[0].numpy(), cv2.IMREAD_COLOR)
    assert picture is not None
    height, width = picture.shape[:2]
    assert width / height == pytest.approx(16 / 9, abs=0.02)
    real = pack(read_frames(CLIP))  # 352×288, noisy
    assert len(real) >= 6
    assert sum(map(len, real)) <= MAX_BYTES


def test_a_checkpoint_without_any_has_synthetic_nights(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    save_checkpoint(path, NightToDay(TINY))
    content = torch.load(path, weights_only=True)
    del content["golden"]  # as before there were any
    torch.save(content, path)
    load_checkpoint(path)
    frames = frames_of_checkpoint(path)
    for one, again in zip(frames, synthetic_nights((288, 352)), strict=True):
        np.testing.assert_array_equal(one, again)
    assert len({frame.tobytes() for frame in frames}) == len(frames)  # things move
    assert all(frame.mean() < 60 and frame.max() == 255 for frame in frames)  # dark, with lamps
    save_checkpoint(path, NightToDay(GeneratorSettings(blocks=1, width=4, reference=(48, 64))))
    assert frames_of_checkpoint(path)[0].shape == (48, 64, 3)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    save_checkpoint(path, NightToDay(TINY), qualification_frames=[torch.zeros(99, dtype=torch.uint8)])
    load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"m\.pt: its qualification frames are not PNG"):
        frames_of_checkpoint(path)


@pytest.mark.slow
def test_each_frame_comes_back_with_the_backgrounds_of_its_own_camera(
    tmp_path: Path, noise: list[NDArray[np.uint8]]
) -> None:
    path = tmp_path / "m.pt"
    pairs = [(255 - frame, frame // 2) for frame in noise]
    for given in (pairs, pairs[:1]):  # one each, and one for all
        frames, backgrounds = pack_with_backgrounds(noise, given)
        save_checkpoint(
            path, NightToDay(SEEING), qualification_frames=frames, qualification_backgrounds=backgrounds
        )
        again, found = frames_of_checkpoint(path), backgrounds_of_content(read_checkpoint(path), path)
        assert len(again) == len(found) == 8
        for frame, (by_day, by_night) in zip(again, found, strict=True):
            own = frame if given is pairs else noise[0]
            np.testing.assert_array_equal(by_day, 255 - own)
            np.testing.assert_array_equal(by_night, own // 2)
            assert not by_day.flags.writeable
    large = [np.tile(frame, (17, 24, 1))[:1080] for frame in noise]
    frames, backgrounds = pack_with_backgrounds(large, [(255 - frame, frame) for frame in large])
    assert 4 <= len(frames) == len(backgrounds)
    kept = [*frames, *(one for pair in backgrounds for one in pair)]
    assert sum(map(len, kept)) <= MAX_BYTES_WITH_BACKGROUNDS
    with pytest.raises(ValueError, match="frame 0 is"):
        pack_with_backgrounds(noise, [(noise[0][:32], noise[0])])
    with pytest.raises(ValueError, match="2 pairs"):
        pack_with_backgrounds(noise, pairs[:2])


def test_a_model_that_takes_backgrounds_and_has_none_sees_a_synthetic_scene(
    tmp_path: Path, noise: list[NDArray[np.uint8]]
) -> None:
    path = tmp_path / "m.pt"
    save_checkpoint(path, NightToDay(SEEING), qualification_frames=pack(noise))
    frames, pairs = frames_of_checkpoint(path), backgrounds_of_content(read_checkpoint(path), path)
    day, night = synthetic_backgrounds((288, 352))
    assert day.mean() > 100 > night.mean()
    for frame, made, pair in zip(frames, synthetic_nights((288, 352)), pairs, strict=True):
        np.testing.assert_array_equal(frame, made)
        np.testing.assert_array_equal(pair, (day, night))
        moving = np.abs(frame.astype(int) - night).max(axis=2) > 60
        assert 0.0005 < moving.mean() < 0.05  # it is the same street, on which a few things move
    save_checkpoint(path, NightToDay(TINY))
    assert backgrounds_of_content(read_checkpoint(path), path) == []


def test_backgrounds_that_do_not_fit_are_named(tmp_path: Path, noise: list[NDArray[np.uint8]]) -> None:
    path, frames = tmp_path / "m.pt", pack(noise[:2])
    small, model = pack([noise[0][:32]])[0], NightToDay(SEEING)
    junk = torch.zeros(99, dtype=torch.uint8)
    for pair, words in (((small, small), "do not fit"), ((junk, junk), "not pairs of PNG")):
        save_checkpoint(path, model, qualification_frames=frames, qualification_backgrounds=[pair])
        with pytest.raises(CheckpointError, match=rf"m\.pt: its qualification backgrounds .*{words}|{words}"):
            backgrounds_of_content(read_checkpoint(path), path)
    with pytest.raises(ValueError, match="3 pairs of qualification backgrounds for 2"):
        save_checkpoint(
            path, model, qualification_frames=frames, qualification_backgrounds=[(small, small)] * 3
        )


def test_training_stores_the_scene_s_nights(tmp_path: Path, noise: list[NDArray[np.uint8]]) -> None:
    day = [np.flip(frame, 0).copy() for frame in noise]
    scene = Scene("gate", day[:-4], noise, day[0], day[-4:])
    trainer = Trainer(scene, TrainSettings(generator=TINY, steps=1, batch=1, crop=(64, 64)), tmp_path)
    trainer.save()
    Validator(scene, tmp_path)(trainer.model, 1, trainer.card())
    nights = {frame.tobytes() for frame in noise}
    for name in ("model.pt", "best.pt"):
        frames = frames_of_checkpoint(tmp_path / name)
        assert len(frames) == 8
        assert {frame.tobytes() for frame in frames} <= nights


def test_frames_of_a_folder_or_a_clip(tmp_path: Path, noise: list[NDArray[np.uint8]]) -> None:
    for i, frame in enumerate(noise):
        write_picture(tmp_path / f"{i:02d}.png", frame)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._00.png").write_bytes(b"Mac OS X")
    found = read_frames(tmp_path, 3)
    for frame, i in zip(found, (0, 10, 20), strict=True):
        np.testing.assert_array_equal(frame, noise[i])
    clip = read_frames(CLIP)
    assert len({frame.tobytes() for frame in clip}) == 8
    assert clip[0].shape == (288, 352, 3)
    (tmp_path / "99.png").write_text("not")
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path, "not a picture"),
        (tmp_path / "empty", "holds no picture"),
        (tmp_path / "none.mp4", "cannot be read"),
        (tmp_path / "notes.txt", "cannot be read"),
    ):
        with pytest.raises(ValueError, match=words):
            read_frames(path)
