"""Training without a fixed camera: x_ref is the mean of the days, and nothing takes it for the empty scene."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.engines.model.checkpoint import read_checkpoint
from nightday.train.arguments import parse
from nightday.train.cli import main
from nightday.train.footage.checks import check_scene
from nightday.train.footage.scene import SceneError, load_day, load_scene, write_picture
from nightday.train.run.sampler import Sampler
from nightday.train.run.settings import default_options, from_options
from nightday.train.session import settings_of

SIZE = (64, 80)


def street(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A place like no other, with structure at several scales, so that two of them are two cameras to the checks."""
    height, width = SIZE
    layers = [
        cv2.resize(rng.uniform(0, 255, (height // n, width // n, 3)), (width, height)) for n in (4, 8, 16)
    ]
    return np.asarray(np.clip(np.mean(layers, axis=0) * 1.6 - 60, 0, 255), np.uint8)


@pytest.fixture
def drive(rng: np.random.Generator, tmp_path: Path) -> tuple[Path, list[NDArray[np.uint8]]]:
    """A folder of two drives, each picture of another place, and the days in their order."""
    days = [street(rng) for _ in range(14)]
    for number, day in enumerate(days):
        write_picture(tmp_path / "drive" / f"2026-01-{1 + number // 7:02}" / "day" / f"{number:03}.png", day)
        night = (street(rng) * 0.2).astype(np.uint8)
        write_picture(
            tmp_path / "drive" / f"2026-01-{1 + number // 7:02}" / "night" / f"{number:03}.png", night
        )
    return tmp_path / "drive", days


def test_x_ref_is_the_mean_of_all_days(drive: tuple[Path, list[NDArray[np.uint8]]]) -> None:
    folder, days = drive
    scene = load_scene(folder, background="mean")
    assert not scene.fixed_camera
    expected = np.mean(np.stack(days).astype(np.float64), axis=0)
    assert np.abs(scene.background - expected).max() <= 0.5 + 1e-9
    assert load_scene(folder).fixed_camera
    assert np.array_equal(load_day(folder, background="mean").background, scene.background)
    write_picture(folder / "background.png", days[0])
    with pytest.raises(SceneError, match=r"background\.png: is of a fixed camera; delete it"):
        load_scene(folder, background="mean")


def test_what_presumes_a_fixed_camera_is_left_out_and_said(
    drive: tuple[Path, list[NDArray[np.uint8]]],
) -> None:
    folder, days = drive
    fixed = check_scene(load_scene(folder), learns_nights=True)
    assert any(finding.refuse and "the camera moved" in finding.text for finding in fixed)
    scene = load_scene(folder, background="mean")
    found = check_scene(scene, learns_nights=True)
    assert not any(finding.refuse for finding in found)
    assert any("no fixed camera: x_ref is the mean" in finding.text for finding in found)
    settings = settings_of(
        parse(["--scene", "x", "--background", "mean", "--crop", *map(str, SIZE), "--batch", "9"])
    )
    for pair in Sampler(scene, settings, []).pairs():
        assert any(np.array_equal(pair.day, day) for day in days)
        assert not pair.foreground.any()
    del scene.day[3:]
    assert any(
        finding.refuse and "3 different day pictures" in finding.text
        for finding in check_scene(scene, learns_nights=True)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "blend"], "background='mean': blend draws what the empty scene does not show"),
        (["--still", "2"], "still_weight=2: pulls pixels towards x_ref"),
        (["--recipe", "paired+dico", "--reference", "5"], "reference_weight=5: pulls pixels towards x_ref"),
    ],
)
def test_recipes_that_need_an_empty_scene_are_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--scene", "nowhere", "--background", "mean", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_the_weight_of_l_back_has_its_own_name() -> None:
    assert parse(["--scene", "x", "--recipe", "dico", "--l-back", "3"]).loss.background == 3
    assert settings_of(parse(["--scene", "x", "--recipe", "paired+dico"])).reference_weight == 5
    mean = parse(["--scene", "x", "--recipe", "paired+dico", "--background=mean"])
    assert settings_of(mean).reference_weight == 0
    assert from_options(default_options("dico", "mean")).background == "mean"


def test_it_trains_and_the_checkpoint_and_the_report_say_so(
    drive: tuple[Path, list[NDArray[np.uint8]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = drive
    words = ["--scene", str(folder), "--out", str(tmp_path / "run"), "--background", "mean"]
    words += ["--recipe", "paired+dico", "--steps", "2", "--batch", "1", "--crop", "32", "32", "--no-mixed"]
    words += ["--hold-back", "0.3", "--threads", "1", "--validate-every", "1"]
    assert main(words) == 0
    assert "warning: no fixed camera: x_ref is the mean" in capsys.readouterr().err
    for name in ("model.pt", "best.pt"):
        assert read_checkpoint(tmp_path / "run" / name)["training"]["fixed_camera"] is False
    page = re.sub(r"<[^>]+>", " ", (tmp_path / "run" / "report.html").read_text())
    assert "so nothing tells what moves" in page
    assert "not fixed; x_ref is the mean of the day pictures" in page
    assert "showing the empty scene" not in page
    assert "Fit to use" not in page
