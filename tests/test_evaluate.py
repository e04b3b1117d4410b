from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.checkpoint import save_checkpoint
from engines.generator import GeneratorSettings, NightToDay
from train.data import write_picture
from train.evaluate import GAMMAS, gamma, main, score, trivial_scores
from train.night import foreground_mask

Image = NDArray[np.uint8]


@pytest.fixture
def rng() -> np.random.Generator:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed={seed}")
    return np.random.default_rng(seed)


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
    return 10 * np.log10(255**2 / np.mean(a))


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
    night, best_gamma, clahe, x_ref = trivial_scores(nights, days, background)
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
    arguments += ["--json", str(tmp_path / "scores.json"), "--pictures", str(tmp_path / "pictures")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [s["method"].split()[0] for s in scores] == ["night", "gamma", "CLAHE", "output", str(model)]
    assert f"{scores[-1]['foreground']:.2f}" in out
    assert (tmp_path / "pictures" / "tiny-model.png").is_file()
    (pairs / "night" / "0.png").unlink()
    assert main(arguments) == 2
    assert "2 nights but 3 days" in capsys.readouterr().err
