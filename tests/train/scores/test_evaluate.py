from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.scene import SceneError, write_picture
from nightday.train.scores.baselines import GAMMAS, baseline_scores, gamma, score
from nightday.train.scores.evaluate import main
from nightday.train.scores.evaluation import translate_all
from nightday.train.scores.image_distances import FeatureMap
from nightday.train.scores.scorer import HeldOut, Scorer, keep_mask

Image = NDArray[np.uint8]


def scene(rng: np.random.Generator, count: int = 3) -> tuple[list[Image], list[Image], Image]:
    """Nights, days and background, with a block that moves over the days."""
    background = rng.integers(60, 140, (48, 64, 3), dtype=np.uint8)
    days = []
    for i in range(count):
        day = background.copy()
        day[16:28, 5 + 12 * i : 21 + 12 * i] = 230
        days.append(day)
    return [(day // 5).astype(np.uint8) for day in days], days, background


def psnr(a: list[float]) -> float:
    return float(10 * np.log10(255**2 / np.mean(a)))


def test_scores_are_psnr_over_the_pixels_of_each_part(rng: np.random.Generator) -> None:
    nights, days, background = scene(rng)
    label = (0, 0, 20, 10)
    whole: list[float] = []
    fore: list[float] = []
    back: list[float] = []
    for night, day in zip(nights, days, strict=True):
        mask = foreground_mask(day, background)
        for y, x in np.ndindex(48, 64):
            if y < 10 and x < 20:
                continue
            error = float(np.mean((night[y, x].astype(float) - day[y, x]) ** 2))
            whole.append(error)
            (fore if mask[y, x] else back).append(error)
    got = score("night", nights, days, background, labels=[label])
    assert got.whole == pytest.approx(psnr(whole))
    assert got.foreground == pytest.approx(psnr(fore))
    assert got.background == pytest.approx(psnr(back))


def test_the_trivial_answers_are_given_their_best(rng: np.random.Generator) -> None:
    nights, days, background = scene(rng)
    night, best_gamma, clahe, x_ref = baseline_scores(nights, days, background)
    assert night.whole < best_gamma.whole
    for exponent in GAMMAS:
        tried = score("", [gamma(n, exponent) for n in nights], days, background)
        assert best_gamma.foreground >= tried.foreground
    assert clahe.foreground >= night.foreground
    assert x_ref.background > 30  # pasting the background wins there
    assert x_ref.foreground < best_gamma.foreground  # and loses what moves


def test_the_command_lists_all_and_draws(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nights, days, background = scene(rng)
    pairs = tmp_path / "pairs"
    for name, images in (("night", nights), ("day", days)):
        for i, image in enumerate(images):
            write_picture(pairs / name / f"{i}.png", image)
    write_picture(pairs / "background.png", background)
    model = tmp_path / "tiny" / "model.pt"
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    arguments = ["--checkpoint", str(model), "--pairs", str(pairs), "--backend", "eager"]
    arguments += [
        "--json",
        str(tmp_path / "scores.json"),
        "--pictures",
        str(tmp_path / "pictures"),
        "--rounds",
        "3",
    ]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [s["method"].split()[0] for s in scores] == ["night", "gamma", "CLAHE", "showing", str(model)]
    assert f"{scores[-1]['psnr_foreground']:.2f}" in out
    best = baseline_scores(nights, days, background)
    for got, want in zip(scores, best, strict=False):
        assert got["psnr"] == pytest.approx(want.whole)
        assert got["psnr_foreground"] == pytest.approx(want.foreground)
    assert scores[3]["frechet"]["low"] <= scores[3]["frechet"]["value"] <= scores[3]["frechet"]["high"]
    assert "background_std" not in scores[0]  # stills
    assert (tmp_path / "pictures" / "tiny-model.png").is_file()
    (pairs / "night" / "0.png").unlink()
    assert main(arguments) == 2
    assert "2 nights but 3 days" in capsys.readouterr().err


def test_real_days_need_not_be_the_nights_moments(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two nights, three days: what looks like the days is nearer to them than the night is."""

    def blurred(image: Image) -> Image:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.uint8)

    nights, days, background = scene(rng)
    nights, days = [blurred(night) for night in nights], [blurred(day) for day in days]
    background = blurred(background)
    for name, images in (("night", nights[:2]), ("day", days)):
        for i, image in enumerate(images):
            write_picture(tmp_path / "real" / name / f"{i}.png", image)
    write_picture(tmp_path / "real" / "background.png", background)
    model = tmp_path / "tiny" / "model.pt"
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    arguments = ["--checkpoint", str(model), "--real", str(tmp_path / "real"), "--backend", "eager"]
    arguments += ["--json", str(tmp_path / "scores.json"), "--rounds", "3", "--label", "0", "0", "10", "10"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "random orthogonal" in out
    assert "To the true day" not in out
    night, gamma, _, x_ref, _ = json.loads((tmp_path / "scores.json").read_text())
    assert x_ref["frechet"]["value"] < gamma["frechet"]["value"] < night["frechet"]["value"]
    assert night["to_x_ref"] == night["to_x_ref_night"] < gamma["to_x_ref"] < x_ref["to_x_ref"]


def test_what_is_shown_of_real_nights(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The night shows all of it, a pasted x_ref nothing, whose background is identical and has no number."""
    background = rng.integers(80, 140, (48, 64, 3), dtype=np.uint8)
    for i in range(6):
        night = (background // 3).astype(np.uint8)
        night[16:28, 3 + 9 * i : 15 + 9 * i] = rng.integers(100, 255, (3, 3, 3)).repeat(4, 0).repeat(4, 1)
        write_picture(tmp_path / "night" / f"{i}.png", night)
        write_picture(tmp_path / "day" / f"{i}.png", background)
    model = tmp_path / "tiny" / "model.pt"
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    arguments = ["--checkpoint", str(model), "--real", str(tmp_path), "--backend", "eager"]
    arguments += ["--json", str(tmp_path / "scores.json"), "--rounds", "1"]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "by what differs from the background by night" in said.out
    scores = {s["method"].split()[0]: s for s in json.loads((tmp_path / "scores.json").read_text())}
    assert [*scores] == ["night", "gamma", "CLAHE", "showing", "relit", str(model)]
    assert scores["night"]["things"] >= 5
    assert (scores["night"]["shown"], scores["showing"]["shown"]) == (1, 0)
    assert scores["relit"]["shown"] > 0.8
    assert scores["showing"]["hidden"] == scores["night"]["things"]
    (row,) = (line for line in said.out.splitlines() if line.startswith("| showing") and "0.0%" in line)
    assert "identical" in row
    assert not re.search(r"\b(168|99\.00)", said.out)
    assert "lower is better" in said.out
    (tmp_path / "night" / "2.txt").write_text("0 0.4 0.45 0.2 0.2\n")
    assert main(arguments) == 0
    assert "by their labels" in capsys.readouterr().out
    night = json.loads((tmp_path / "scores.json").read_text())[0]
    assert (night["things"], night["shown"]) == (1, 1)
    for number in (3, 4):
        (tmp_path / "night" / f"{number}.png").unlink()
    assert main(arguments) == 0
    assert "4 nights are too few for a background by night" in capsys.readouterr().err
    assert not [s for s in json.loads((tmp_path / "scores.json").read_text()) if "shown" in s]


def test_an_engine_that_needs_backgrounds_gets_them(rng: np.random.Generator) -> None:
    nights, days, background = scene(rng)
    known = nights[0]

    class Given:
        needs_backgrounds = True

        def __call__(self, frames: Image, *, day_background: Image, night_background: Image) -> Image:
            assert frames.shape == day_background.shape == night_background.shape
            return np.asarray(day_background // 2 + night_background // 2, np.uint8)

    keep = keep_mask(background.shape, ())
    test = HeldOut(
        nights=nights, truth=None, real=days, background=background, keep=keep, night_background=known
    )
    for output in translate_all(Given(), nights, test):
        assert (output == background // 2 + known // 2).all()
    with pytest.raises(SceneError, match="needs a background by night"):
        translate_all(Given(), nights, replace(test, night_background=None))


def test_of_a_clip_steadiness_is_scored(rng: np.random.Generator) -> None:
    """Flicker of ±10 grey levels on a still scene is a standard deviation of 10, and as much warped error × 2."""
    _, days, background = scene(rng, 4)
    nights = [(background // 3).astype(np.uint8)] * 4
    keep = keep_mask(background.shape, ())
    test = HeldOut(nights=nights, truth=None, real=days, background=background, keep=keep, video=True)
    flicker = [(night + (30 if i % 2 else 10)).astype(np.uint8) for i, night in enumerate(nights)]
    scores = Scorer(test, FeatureMap(), rounds=1).full(flicker)
    assert scores["background_std"] == pytest.approx(10)
    assert scores["warped_error"] == pytest.approx(20, rel=0.05)
    assert scores["background_std_night"] == scores["warped_error_night"] == 0


class Bright:
    """A detector of bright blocks, as sure of each as it is bright."""

    def __init__(self, path: Path, *, confidence: float) -> None:
        assert (path.name, confidence) == ("blocks.pt", 0.001)

    def __call__(self, rgb: NDArray[np.uint8]) -> list[list[Detection]]:
        (picture,) = rgb
        _, _, boxes, _ = cv2.connectedComponentsWithStats((picture.min(2) > 180).astype(np.uint8))
        return [
            [
                Detection("block", 0.9, (x, y, x + w, y + h))
                for x, y, w, h, area in boxes[1:].tolist()
                if area > 9
            ]
        ]


def test_a_detector_is_scored_on_the_day_the_night_and_the_outputs(
    rng: np.random.Generator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nights, days, background = scene(rng)
    nights, days = [*nights, (background // 5).astype(np.uint8)], [*days, background]  # an empty one
    for name, images in (("night", nights), ("day", days)):
        for i, image in enumerate(images):
            write_picture(tmp_path / "pairs" / name / f"{i}.png", image)
    write_picture(tmp_path / "pairs" / "background.png", background)
    boxes = tmp_path / "boxes.csv"
    rows = [f"{i},{5 + 12 * i},16,{21 + 12 * i},28" for i in range(3)]
    boxes.write_text("\n".join(["frame,x1,y1,x2,y2", *rows]) + "\n")
    model = tmp_path / "tiny" / "model.pt"
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    monkeypatch.setattr("nightday.train.scores.evaluation.load_detector", Bright)
    arguments = ["--checkpoint", str(model), "--pairs", str(tmp_path / "pairs"), "--backend", "eager"]
    arguments += ["--json", str(tmp_path / "scores.json"), "--rounds", "1"]
    arguments += ["--detector", str(tmp_path / "blocks.pt"), "--boxes", str(boxes)]
    assert main(arguments) == 0
    assert "AP50" in capsys.readouterr().out
    scores = {s["method"].split()[0]: s for s in json.loads((tmp_path / "scores.json").read_text())}
    assert (scores["the"]["ap50"], scores["the"]["recall_small"], scores["the"]["false_positives"]) == (
        1,
        1,
        0,
    )
    assert scores["night"]["ap50"] == scores["showing"]["ap50"] == 0
    boxes.write_text("frame,x1,y1,x2,y2\n77,0,0,9,9\n")
    assert main(arguments) == 2
    assert "no box of frames 0 to 3" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments[:-2]])
    assert "--detector and --boxes go together" in capsys.readouterr().err


class TestWhatIsMissing:
    """It is said before anything is read: the pictures here would be refused as well."""

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        save_checkpoint(tmp_path / "model.pt", NightToDay(GeneratorSettings(blocks=1, width=4)))
        return tmp_path / "model.pt"

    def test_scikit_image(
        self,
        model: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setitem(sys.modules, "skimage", None)
        assert main(["--checkpoint", str(model), "--pairs", str(tmp_path / "nowhere")]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said[-1] == (
            "nightday-eval: --pairs: SSIM needs scikit-image: install the extra [train] (pip install -e '.[train]')"
        )
        assert not any("reading" in line for line in said)
        # Real days are scored without it.
        assert main(["--checkpoint", str(model), "--real", str(tmp_path / "nowhere")]) == 2
        assert "nowhere: no such folder" in capsys.readouterr().err

    def test_a_checkpoint(self, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = [
            "--checkpoint",
            str(model),
            str(tmp_path / "typo.pt"),
            "--real",
            str(tmp_path / "nowhere"),
        ]
        assert main(arguments) == 2
        assert "typo.pt: no such checkpoint" in capsys.readouterr().err


def test_what_is_being_done_is_told(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error; what cannot be read is refused of pairs, since the others would pair up wrongly."""
    nights, days, background = scene(rng)
    for name, images in (("night", nights), ("day", days)):
        for i, image in enumerate(images):
            write_picture(tmp_path / name / f"{i}.png", image)
    write_picture(tmp_path / "background.png", background)
    model = tmp_path / "model.pt"
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    (tmp_path / "day" / "x.png").write_bytes(b"")
    arguments = ["--checkpoint", str(model), "--backend", "eager", "--rounds", "1"]
    assert main([*arguments, "--real", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[:3] == [
        "checking what was given",
        f"reading {tmp_path}",
        f"warning: {tmp_path / 'day' / 'x.png'}: is empty (0 bytes); delete it, or save it again",
    ]
    assert f"translating with {model}" in said.err
    assert f"scoring {model}" in said.err
    assert "scoring" not in said.out
    assert main([*arguments, "--pairs", str(tmp_path)]) == 2
    assert (
        "x.png: is empty (0 bytes); delete it, or save it again; without it night and day would not be"
        in (capsys.readouterr().err)
    )
