"""nightday-train end to end on a scene small enough for seconds."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.model.checkpoint import load_checkpoint, read_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.arguments import parse
from nightday.train.cli import main
from nightday.train.footage.augment import Augmenter
from nightday.train.footage.scene import (
    Scene,
    SceneError,
    load_scene,
    read_frames,
    temporal_median,
    write_picture,
)
from nightday.train.objectives.loss_settings import LossSettings
from nightday.train.objectives.vgg import Vgg16Features
from nightday.train.run import validation
from nightday.train.run.settings import TrainSettings
from nightday.train.run.state import ResumeError
from nightday.train.run.trainer import Trainer, TrainingError
from nightday.train.scores.baselines import Score
from nightday.train.session import settings_of

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
TINY = TrainSettings(
    recipe="paired+dico",
    generator=GeneratorSettings(blocks=1, width=4, norm="batch", invariant_radius=4),
    losses=LossSettings(anchors=16),
    steps=6,
    batch=1,
    crop=(32, 48),
    unpaired_from=0.5,
    reference_weight=1.0,
    mask_warmup=2,
    sample_every=100,
    save_every=100,
)


def scene_of(size: tuple[int, int]) -> Scene:
    frames = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::12]]
    nights = [(f * 0.2).astype(np.uint8) for f in frames[:8]]
    return Scene("tiny", frames[8:], nights, temporal_median(frames[8:]))


@pytest.fixture(scope="module")
def scene() -> Scene:
    """So small that whole pictures, which samples, scores and reports are of, cost little."""
    return scene_of((80, 64))


@pytest.fixture(scope="module")
def large_scene() -> Scene:
    return scene_of((160, 128))


@pytest.fixture
def folder(scene: Scene, tmp_path: Path) -> Path:
    path = tmp_path / "gate"
    for name, images in (("day", scene.day), ("night", scene.night)):
        for i, image in enumerate(images):
            write_picture(path / name / f"{i:03d}.png", image)
    return path


def quiet(_step: int, _terms: dict[str, float]) -> None:
    pass


def test_a_model_of_the_callers_is_trained_and_gone_on_with(scene: Scene, tmp_path: Path) -> None:
    settings = replace(TINY, recipe="paired", steps=1, reference_weight=0.0)
    model = NightToDay(TINY.generator)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = Trainer(scene, settings, tmp_path, model=model)
    trainer.run(lambda *_: None)
    assert trainer.model is model
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    again = Trainer(scene, settings, tmp_path, model=NightToDay(TINY.generator))
    assert again.resume()
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "model.pt").state_dict()


def test_resuming_is_the_same_as_never_having_stopped(scene: Scene, tmp_path: Path) -> None:
    """Stopped after step 4, when the discriminator has already learnt: bit for bit."""
    Trainer(scene, TINY, tmp_path / "whole").run(quiet)
    first = Trainer(scene, TINY, tmp_path / "parts")
    assert not first.resume()
    first.run(quiet, stop=lambda: first.step == 4)
    torch.rand(7)  # the generators' states come from the file, not from this process
    second = Trainer(scene, TINY, tmp_path / "parts")
    assert second.resume()
    assert second.step == 4
    second.run(quiet)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_a_state_of_another_run_is_refused(scene: Scene, tmp_path: Path) -> None:
    settings = replace(TINY, recipe="paired")
    Trainer(scene, settings, tmp_path).save()
    with pytest.raises(ResumeError, match="another batch, seed"):
        Trainer(scene, replace(settings, batch=2, seed=9), tmp_path).resume()
    other = replace(scene, background=255 - scene.background)
    with pytest.raises(ResumeError, match="another scene"):
        Trainer(other, settings, tmp_path).resume()
    torch.save({"weights": 1}, tmp_path / "state.pt")
    with pytest.raises(ResumeError, match="not the state of such a run"):
        Trainer(scene, settings, tmp_path).resume()
    (tmp_path / "state.pt").write_bytes(b"torn")
    with pytest.raises(ResumeError, match=r"state\.pt: unreadable"):
        Trainer(scene, settings, tmp_path).resume()


@pytest.mark.parametrize("recipe", ["dico", "paired", "paired+dico"])
def test_each_recipe_uses_its_terms_and_learns(scene: Scene, tmp_path: Path, recipe: str) -> None:
    settings = replace(TINY, recipe=recipe, steps=3, unpaired_from=0.0)  # type: ignore[arg-type]
    trainer = Trainer(scene, settings, tmp_path)
    before = {k: v.clone() for k, v in trainer.model.named_parameters()}
    terms = trainer.run_step()
    paired, unpaired = {"paired"}, {"adversarial", "background", "foreground", "discriminator", "reference"}
    assert set(terms) == {"dico": unpaired, "paired": paired, "paired+dico": paired | unpaired}[recipe]
    assert all(np.isfinite(v) for v in terms.values())
    # everything is learnt, σ and Λ too
    for name, parameter in trainer.model.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_the_paired_loss_falls(scene: Scene, tmp_path: Path) -> None:
    generator = replace(TINY.generator, input="rgb")
    trainer = Trainer(
        scene, replace(TINY, recipe="paired", generator=generator, steps=150, batch=2), tmp_path
    )
    losses: list[float] = []
    trainer.run(lambda _, terms: losses.append(terms["paired"]))
    assert np.mean(losses[-30:]) < 0.85 * np.mean(losses[:5])


def test_the_command_trains_samples_logs_and_cards(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = [
        "--scene",
        str(folder),
        "--out",
        str(out),
        "--steps",
        "50",
        "--batch",
        "1",
        "--crop",
        "32",
        "32",
    ]
    arguments += ["--recipe", "paired", "--sample-every", "20", "--seed", "4"]
    assert main(arguments) == 0
    assert sorted(p.name for p in (out / "samples").iterdir()) == ["000020.png", "000040.png", "000050.png"]
    grid = cv2.imread(str(out / "samples" / "000050.png"))
    assert grid is not None
    assert grid.shape == (4 * 64, 4 * 80, 3)  # night, output, x_ref, mask
    line = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert line["step"] == 50
    assert 0 < line["paired"] < 1
    training = read_checkpoint(out / "model.pt")["training"]
    assert (training["scene"], training["step"], training["settings"]["seed"]) == ("gate", 50, 4)
    assert main(arguments) == 0  # already there: nothing to do, no error


def settings(arguments: list[str]) -> TrainSettings:
    return settings_of(parse(arguments))


def test_a_recipe_brings_its_weights_and_flags_change_them() -> None:
    dico = settings(["--scene", "x", "--recipe", "dico"])
    assert dico.losses == LossSettings()  # eq. 14: every weight 1
    assert (dico.generator.norm, dico.reference_weight) == ("instance", 0)
    both = settings(["--scene", "x", "--recipe", "paired+dico", "--foreground", "0.25", "--no-centre"])
    assert (both.recipe, both.generator.norm, both.reference_weight) == ("paired+dico", "batch", 5)
    blend = settings(["--scene", "x", "--recipe", "blend", "--still", "2"])
    assert (blend.recipe, blend.backgrounds, blend.see_reference) == ("blend", True, False)
    assert (blend.foreground_weight, blend.still_weight, blend.layers) == (10, 2, 3)
    compact = ["--scene", "x", "--recipe", "blend", "--size", "compact"]
    assert [settings([*compact, *more]).layers for more in ([], ["--layers", "0"])] == [3, 0]
    assert settings(["--scene", "x", "--size", "compact"]).layers == 0
    assert both.losses == LossSettings(background=10, foreground=0.25)
    paper = settings(["--scene", "x", "--size", "paper", "--input", "replace"]).generator
    assert (paper.blocks, paper.width, paper.input, paper.norm) == (9, 64, "replace", "instance")


def test_the_papers_terms_on_random_features_are_warned_of(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vgg = tmp_path / "vgg.pth"
    torch.save({f"features.{k}": v for k, v in Vgg16Features().convs.state_dict().items()}, vgg)
    tiny = ["--steps", "1", "--batch", "1", "--crop", "32", "32", "--force"]

    def said(recipe: str, *more: str) -> str:
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        assert main(["--scene", str(folder), "--out", str(out), "--recipe", recipe, *tiny, *more]) == 0
        return capsys.readouterr().err

    assert "features behind the paper's terms are random" in said("dico")
    assert "random" not in said("dico", "--vgg", str(vgg))
    assert "random" not in said("paired")


def test_a_run_that_gains_nothing_keeps_what_it_started_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = (
        Score("model", whole, whole, 0.5) for whole in range(40, 0, -1)
    )  # each worse than the one before
    monkeypatch.setattr(validation, "score", lambda *_, **__: next(scores))
    command = ["--scene", str(folder), "--recipe", "paired", "--batch", "1", "--crop", "32", "32", "--force"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*command, "--steps", "1", "--out", str(first)]) == 0
    assert (
        main([*command, "--start-from", str(first / "model.pt"), "--steps", "2", "--out", str(second)]) == 0
    )
    told = "".join(capsys.readouterr().out.split())  # lines are wrapped anywhere
    assert "best.pt:whatitstartedfrom,sincenostepwasbetter" in told
    best, start = load_checkpoint(second / "best.pt").state_dict(), weights(first)
    assert all(torch.equal(best[name], start[name]) for name in start)


def test_killed_and_started_again_it_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "nightday.train.cli",
        "--scene",
        str(folder),
        "--out",
        str(out),
        "--recipe",
        "paired",
    ]
    command += ["--batch", "1", "--crop", "32", "32", "--sample-every", "1000000", "--save-every", "1"]

    def state_written(process: subprocess.Popen[str]) -> None:
        # The log's first line comes after step 50, hence after many saved states.
        assert process.stdout is not None
        for line in process.stdout:
            if re.match(r"step \d+:", line):
                return
        raise AssertionError("ended without a word")

    with subprocess.Popen([*command, "--steps", "1000000"], stdout=subprocess.PIPE, text=True) as process:
        state_written(process)
        process.kill()
    with subprocess.Popen([*command, "--steps", "1000000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        second = process.stdout.readline() + process.stdout.readline()
        match = re.search(r"going on from step (\d+)", second)
        assert match
        assert int(match[1]) >= 49
        state_written(process)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(20) == 130
    assert "the same command goes on from here" in rest
    assert read_checkpoint(out / "model.pt")["training"]["step"] >= int(match[1])


def test_what_cannot_be_trained_on_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fault(path: Path) -> str:
        with pytest.raises(SceneError) as caught:
            load_scene(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "missing: no such folder" in fault(tmp_path / "missing")
    for picture in (folder / "night").iterdir():
        picture.unlink()
    assert f"{folder / 'night'}: holds no picture" in fault(folder)
    (folder / "night" / "a.png").write_bytes(b"not a picture")
    assert "a.png: cannot be read as a picture" in fault(folder)
    write_picture(folder / "night" / "a.png", np.zeros((50, 80, 3), np.uint8))
    assert "day is 80×64 but night is 80×50" in fault(folder)
    (folder / "night" / "a.png").unlink()
    (folder / "night" / "b.mp4").write_bytes(b"not a clip")
    assert "b.mp4: cannot be read as a clip" in fault(folder)
    assert main(["--scene", str(folder), "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.startswith("nightday-train: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seed", "-1"],
        ["--crop", "40", "64"],
        ["--crop", "16", "16"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "0"],
        ["--unpaired-from", "7"],
        ["--foreground-weight", "-5"],
        ["--l-back", "inf"],
    ],
)
def test_arguments_that_make_no_sense_are_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--scene", "nowhere", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert arguments[0].removeprefix("--").split("-")[0] in message


def test_pictures_too_small_to_learn_from_are_refused(scene: Scene, tmp_path: Path) -> None:
    day, night = ([image[:24, :24] for image in part] for part in (scene.day, scene.night))
    small = Scene("small", day, night, scene.background[:24, :24])
    with pytest.raises(SceneError, match="24×24"):
        Trainer(small, TINY, tmp_path)


def test_a_loss_that_is_no_number_ends_training_before_it_is_saved(scene: Scene, tmp_path: Path) -> None:
    trainer = Trainer(scene, replace(TINY, recipe="paired"), tmp_path)
    with torch.no_grad():
        next(trainer.model.generator.parameters()).fill_(math.nan)
    with pytest.raises(TrainingError, match="the loss is nan at step 1"):
        trainer.run(quiet)
    assert not (tmp_path / "model.pt").exists()


def test_clips_and_pictures_are_read_alike(tmp_path: Path) -> None:
    for part in ("day", "night"):
        (tmp_path / part).mkdir()
    (tmp_path / "day" / "a.mp4").write_bytes(CLIP.read_bytes())
    write_picture(tmp_path / "night" / "b.png", read_frames(CLIP)[0])
    scene = load_scene(tmp_path, max_frames=50)
    assert len(scene.day) == 50
    np.testing.assert_array_equal(scene.day[-1], read_frames(CLIP)[-1])
    np.testing.assert_array_equal(scene.night[0], read_frames(CLIP)[0])


def test_a_crop_is_one_for_night_day_and_reference(large_scene: Scene) -> None:
    rng = np.random.default_rng()
    augment = Augmenter(large_scene, (64, 80), flip=True)
    y, x = np.mgrid[:128, :160]
    for _ in range(20):
        crop = augment.crop(rng)
        got_y, got_x = crop(y), crop(x)
        assert got_y.shape == (64, 80)
        assert (np.diff(got_y, axis=0) == 1).all()
        assert (np.diff(got_x, axis=1) == (-1 if crop.flip else 1)).all()


def test_pasted_foreground_is_marked_and_the_rest_is_the_cameras_own(large_scene: Scene) -> None:
    rng = np.random.default_rng()
    augment = Augmenter(large_scene, (128, 160))
    known: list[NDArray[np.uint8]] = [*large_scene.day, large_scene.background]
    for _ in range(10):
        crop = replace(augment.crop(rng), flip=False)
        day, mask = augment.day(rng, crop)
        outside = ~cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))).astype(bool)
        assert min(np.abs(day[outside].astype(int) - k[outside]).max() for k in known) <= 1
