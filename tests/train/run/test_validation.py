"""Scores on held-back pictures: what is held back, what is scored, and that training does not notice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.model.checkpoint import read_checkpoint
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.cli import main
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.scene import Scene, load_scene, read_frames, temporal_median, write_picture
from nightday.train.run import validation
from nightday.train.run.settings import TrainSettings
from nightday.train.run.trainer import Trainer
from nightday.train.run.translation import translate
from nightday.train.run.validation import Validator

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
TINY = TrainSettings(
    generator=GeneratorSettings(blocks=1, width=4, norm="batch", invariant_radius=4),
    steps=4,
    batch=1,
    crop=(32, 48),
    steady_weight=1.0,  # draws from torch's random state in every step
    sample_every=100,
    save_every=100,
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    frames = [cv2.resize(f, (80, 64), interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::8]]
    nights = [(f * 0.2).astype(np.uint8) for f in frames[:8]]
    return Scene("tiny", frames[:20], nights, temporal_median(frames[:20]), frames[20:])


def run(scene: Scene, folder: Path, *, scored: bool, stop_at: int | None = None) -> dict[str, torch.Tensor]:
    trainer = Trainer(scene, TINY, folder)
    trainer.resume()
    validator = Validator(scene, folder, step=trainer.step) if scored else None

    def progress(step: int, _terms: dict[str, float]) -> None:
        if validator is not None:
            validator(trainer.model, step, trainer.card())

    trainer.run(progress, stop=lambda: trainer.step == stop_at)
    return {k: v.clone() for k, v in trainer.model.state_dict().items()}


def test_training_does_not_notice_that_it_is_scored(scene: Scene, tmp_path: Path) -> None:
    """The same weights and statistics bit for bit, also where it was stopped, scored, and gone on with."""
    plain = run(scene, tmp_path / "plain", scored=False)
    scored = run(scene, tmp_path / "scored", scored=True)
    run(scene, tmp_path / "parts", scored=True, stop_at=2)
    parts = run(scene, tmp_path / "parts", scored=True)
    assert all(torch.equal(plain[k], scored[k]) and torch.equal(plain[k], parts[k]) for k in plain)
    lines = [(tmp_path / name / "validation.jsonl").read_text() for name in ("scored", "parts")]
    assert lines[0] == lines[1]
    assert lines[0].count("\n") == 4


def test_scores_are_psnr_under_nights_that_stay_the_same(scene: Scene, tmp_path: Path) -> None:
    trainer = Trainer(scene, TINY, tmp_path)
    validator, other = (Validator(scene, tmp_path / name) for name in "ab")
    (tmp_path / "a").mkdir()
    assert all((x == y).all() for x, y in zip(validator.nights, other.nights, strict=True))
    assert len({n.tobytes() for n in validator.nights}) == len(validator.days) == 8
    held = {frame.tobytes() for frame in scene.held_back}
    assert {day.tobytes() for day in validator.days} <= held
    state = torch.get_rng_state()
    now = validator(trainer.model, 1, {})
    assert torch.equal(torch.get_rng_state(), state)
    assert trainer.model.training
    outputs = translate(trainer.model, validator.nights)
    errors = [(o.astype(float) - d) ** 2 for o, d in zip(outputs, validator.days, strict=True)]
    masks = [foreground_mask(d, scene.background) for d in validator.days]
    moving = np.concatenate([e[m].ravel() for e, m in zip(errors, masks, strict=True)])
    assert now.whole == pytest.approx(10 * np.log10(255**2 / np.mean(errors)), abs=1e-6)
    assert now.foreground == pytest.approx(10 * np.log10(255**2 / moving.mean()), abs=1e-6)
    assert now.score == pytest.approx((now.whole + now.foreground) / 2)
    median = np.median(np.stack(translate(trainer.model, scene.night)), axis=0)
    error = ((np.rint(median) - scene.background.astype(float)) ** 2).mean()
    assert now.real == pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)


def test_the_best_is_kept_and_patience_ends(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs ever nearer to the truth, then farther."""
    model = Trainer(scene, TINY, tmp_path).model
    validator = Validator(scene, tmp_path, patience=2)
    error = [0]

    def scripted(
        _model: object, pictures: list[NDArray[np.uint8]], *_backgrounds: object
    ) -> list[NDArray[np.uint8]]:
        source = validator.days if len(pictures) == len(validator.days) else pictures
        return [np.clip(p.astype(int) + error[0], 0, 255).astype(np.uint8) for p in source]

    monkeypatch.setattr(validation, "translate", scripted)
    seen = []
    for step, levels in enumerate((50, 20, 30, 25), start=1):
        error[0] = levels
        validator(model, step, {"step": step})
        seen.append((validator.best.step if validator.best else 0, validator.exhausted))
    assert seen == [(1, False), (2, False), (2, False), (2, True)]
    assert read_checkpoint(tmp_path / "best.pt")["training"] == {"step": 2}
    assert not Validator(scene, tmp_path, step=3, patience=2).exhausted  # 3 and 4 are to come again
    assert Validator(scene, tmp_path, step=3).best == validator.best
    assert (tmp_path / "validation.jsonl").read_text().count("\n") == 3


def test_the_last_of_the_day_is_held_back_and_is_no_part_of_the_background(tmp_path: Path) -> None:
    for i in range(21):
        write_picture(tmp_path / "day" / f"{i:02d}.png", np.full((32, 32, 3), 10 * i, np.uint8))
    write_picture(tmp_path / "night" / "0.png", np.zeros((32, 32, 3), np.uint8))
    scene = load_scene(tmp_path, hold_back=0.1)
    assert [int(f[0, 0, 0]) for f in scene.held_back] == [190, 200]
    assert [int(f[0, 0, 0]) for f in scene.day] == list(range(0, 190, 10))
    assert (scene.background == 90).all()
    assert load_scene(tmp_path).held_back == []


def test_few_pictures_are_scored_on_although_seen(scene: Scene, tmp_path: Path) -> None:
    few = replace(scene, day=scene.day[:6], held_back=[])
    validator = Validator(few, tmp_path)
    assert not validator.unseen
    assert len(validator.nights) == 6
    empty = replace(few, day=[few.background] * 6)
    trainer = Trainer(empty, TINY, tmp_path)
    now = Validator(empty, tmp_path)(trainer.model, 1, {})
    assert np.isnan(now.foreground)
    assert now.score == now.whole
    assert json.loads((tmp_path / "validation.jsonl").read_text())["foreground"] is None


def test_the_command_stops_early_and_stays_stopped(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, images in (("day", scene.day + scene.held_back), ("night", scene.night)):
        for i, image in enumerate(images):
            write_picture(tmp_path / "gate" / name / f"{i:03d}.png", image)
    arguments = ["--scene", str(tmp_path / "gate"), "--out", str(tmp_path / "run"), "--batch", "1"]
    arguments += ["--steps", "9", "--crop", "32", "32", "--validate-every", "1", "--patience", "2"]
    arguments += ["--learning-rate", "1e-12", "--norm", "instance"]  # nothing is learnt, so nothing is gained
    for _ in range(2):
        assert main(arguments) == 0
        assert "no gain since step 1: stopped early" in capsys.readouterr().out
        assert read_checkpoint(tmp_path / "run" / "model.pt")["training"]["step"] == 3
    assert read_checkpoint(tmp_path / "run" / "best.pt")["training"]["step"] == 1
    assert "Training ended at step 3 of 9" in (tmp_path / "run" / "report.html").read_text()


def test_what_stands_out_of_nights_is_sought_in_the_outputs() -> None:
    """Four things in the nights, of which the outputs show three; a paste shows none."""
    empty, day = np.full((60, 80, 3), 20, np.uint8), np.full((60, 80, 3), 120, np.uint8)
    night, output = empty.copy(), day.copy()
    for number, (y, x) in enumerate(((8, 8), (8, 48), (36, 8), (36, 48))):
        night[y : y + 16, x : x + 24] = 200
        if number:
            output[y : y + 16, x : x + 24] = 40
    found = validation.outstanding_recall([night, empty], [output, day], empty, day)
    assert found.outstanding == pytest.approx(4 * 16 * 24 / (2 * 60 * 80), rel=0.15)
    assert found.recall == pytest.approx(0.75, abs=0.03)
    assert found.elsewhere < 0.02
    assert validation.outstanding_recall([night], [day], empty, day).recall == 0
    assert np.isnan(validation.outstanding_recall([empty], [day], empty, day).recall)
