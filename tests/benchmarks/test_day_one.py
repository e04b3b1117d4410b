"""The measure of a camera's first night: labels read, burned-in labels found, rows summed up, models called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.day_one import answers
from benchmarks.day_one.answers import methods, translated
from benchmarks.day_one.cameras import Camera, burned_in
from benchmarks.day_one.scores import labelled_row, sheet, summary
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.scores.scorer import IDENTICAL


@pytest.fixture
def camera(rng: np.random.Generator) -> Camera:
    """A car crosses a road that is a quarter as bright by night."""
    x_ref = rng.integers(90, 160, (64, 96, 3), dtype=np.uint8)
    n_ref = (x_ref // 4).astype(np.uint8)
    nights, boxes = [], []
    for i in range(2):
        night = n_ref.copy()
        x = 10 + 40 * i
        night[30:46, x : x + 24] = rng.integers(60, 200, (4, 6, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        nights.append(night)
        boxes.append(np.array([[x, 30, x + 24, 46]], float))
    keep = np.ones((64, 96), bool)
    return Camera("lta2021/7", True, x_ref, n_ref, [x_ref] * 3, [n_ref] * 3, nights, boxes, keep)


def test_what_is_the_same_by_day_and_by_night_is_burned_in(rng: np.random.Generator) -> None:
    days = [rng.integers(110, 190, (60, 80, 3), dtype=np.uint8) for _ in range(5)]
    nights = [(day // 3).astype(np.uint8) for day in days]
    for picture in (*days, *nights):
        picture[5:20, 10:40] = (255, 255, 250)
    found = burned_in(days, nights)
    assert found[5:20, 10:40].all()
    found[3:22, 8:42] = False
    assert not found.any()


def test_the_answers_that_cost_nothing(camera: Camera) -> None:
    rows = {name: labelled_row(camera, name, method(camera)) for name, method in methods([]).items()}
    assert rows["showing the empty scene"]["shown"] == 0
    assert rows["showing the empty scene"]["background"] == IDENTICAL
    assert rows["night"]["shown"] == rows["relit paste"]["shown"] == 1
    assert rows["relit paste"]["background"] > rows["gamma"]["background"] + 10
    assert {row["boxes"] for row in rows.values()} == {2}


def test_the_worst_camera_is_named_and_errors_are_pooled() -> None:
    row = {"method": "m", "off": 0.1, "outside": 30.0}
    rows = [
        row | {"camera": "a", "boxes": 30, "shown": 1.0, "background": 99.0},
        row | {"camera": "b", "boxes": 10, "shown": 0.2, "background": 20.0},
        row | {"camera": "c", "boxes": 0, "shown": float("nan"), "background": 40.0},
    ]
    (found,) = summary(rows, boxes=True)
    assert found["shown"] == pytest.approx((30 * 1.0 + 10 * 0.2) / 40)
    assert (found["worst"], found["worst_camera"], found["least_background"]) == (0.2, "b", 20.0)
    error = np.mean([255**2 / 10 ** (db / 10) for db in (99, 20, 40)])
    assert found["background"] == pytest.approx(10 * np.log10(255**2 / error))


def test_a_model_that_holds_x_ref_gets_the_cameras(camera: Camera, tmp_path: Path) -> None:
    model = NightToDay(
        GeneratorSettings(kind="light", blocks=1, width=4, norm="batch", reference=(32, 32), blend=True)
    )
    save_checkpoint(tmp_path / "lta2021_7.pt", model)
    answer = methods([("own", str(tmp_path / "{camera}.pt"))])["own"](camera)
    moved = model.eval().at_place(torch.from_numpy(camera.x_ref).permute(2, 0, 1))
    for night, day in zip(camera.nights, answer.days, strict=True):
        with torch.no_grad():
            assert (moved(torch.from_numpy(night[None]))[0].numpy() == day).all()
    assert answer.trust is None


def test_a_model_with_backgrounds_gets_both(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        settings = SimpleNamespace(backgrounds=True)

        def __call__(self, frames: Tensor, x_ref: Tensor, n_ref: Tensor) -> tuple[Tensor, Tensor]:
            assert frames.shape == x_ref.shape == n_ref.shape
            trust = torch.zeros(1, 32, 48, 3, dtype=torch.uint8)
            trust[..., 1] = 255
            return x_ref // 2 + n_ref // 2, trust

    monkeypatch.setattr(answers, "load_checkpoint", lambda _path: Told())
    answer = translated(Path("general.pt"), camera)
    assert all((day == camera.x_ref // 2 + camera.n_ref // 2).all() for day in answer.days)
    assert answer.trust is not None
    assert answer.trust[0].shape == camera.x_ref.shape
    assert (answer.trust[0][..., 1] == 255).all()
    shown = sheet(replace(camera, boxes=None), {"relit paste": answer, "general": answer})
    assert shown.shape == (3 * 64, 5 * 96, 3)
