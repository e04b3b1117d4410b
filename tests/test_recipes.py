"""What a training run may add to the recipes: x_ref as an input, a teacher, steadiness under noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engines.checkpoint import load_checkpoint, save_checkpoint
from engines.generator import GeneratorSettings, NightToDay
from train.data import Scene, read_frames, temporal_median
from train.losses import LossSettings
from train.trainer import Trainer, TrainSettings

CLIP = Path(__file__).parent.parent / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
TINY = TrainSettings(
    recipe="paired+dico",
    generator=GeneratorSettings(blocks=1, width=4, norm="batch", invariant_radius=4),
    losses=LossSettings(anchors=16),
    steps=40,
    batch=1,
    crop=(64, 80),
    unpaired_from=0.0,
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    frames = [cv2.resize(f, (160, 128), interpolation=cv2.INTER_AREA) for f in read_frames(CLIP)[::12]]
    nights = [(f * 0.2).astype(np.uint8) for f in frames[:8]]
    return Scene("tiny", frames[8:], nights, temporal_median(frames[8:]))


@pytest.mark.parametrize("kind", ["resnet", "light"])
def test_a_model_that_sees_the_background_holds_it(scene: Scene, tmp_path: Path, kind: str) -> None:
    generator = replace(TINY.generator, kind=kind)  # type: ignore[arg-type]
    trainer = Trainer(scene, replace(TINY, generator=generator, see_reference=True), tmp_path)
    assert set(trainer.run_step()) >= {"paired", "background", "foreground"}
    trainer.save()
    model = load_checkpoint(tmp_path / "model.pt")
    assert model.settings.reference == scene.background.shape[:2]
    np.testing.assert_array_equal(model.reference.permute(1, 2, 0).numpy(), scene.background)
    with torch.inference_mode():
        day = model(torch.from_numpy(scene.night[0][None]))
    assert day.shape == (1, *scene.background.shape)


def test_crops_of_the_background_are_those_of_the_night(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nights that are x_ref itself: what the generator sees of both must then be the same picture."""
    still = replace_pictures(scene, scene.background)
    trainer = Trainer(still, replace(TINY, recipe="dico", see_reference=True, flip=True), tmp_path)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    translate = trainer.model.translate
    monkeypatch.setattr(
        trainer.model,
        "translate",
        lambda x, reference: seen.append((x, reference)) or translate(x, reference),
    )
    for _ in range(4):
        trainer.run_step()
    for night, reference in seen:
        torch.testing.assert_close(night, reference)
    assert len({float(night.mean()) for night, _ in seen}) > 1


def replace_pictures(scene: Scene, picture: np.ndarray) -> Scene:
    return Scene(scene.name, scene.day, [picture], picture)


def test_a_teacher_is_followed(scene: Scene, tmp_path: Path) -> None:
    """With nothing else to learn, the student comes nearer to the teacher's pictures of real nights."""
    torch.manual_seed(torch.seed() % 2**32)
    teacher = NightToDay(TINY.generator)
    torch.nn.init.constant_(teacher.generator.layers[-2].bias, 0.5)
    save_checkpoint(tmp_path / "teacher.pt", teacher)
    settings = replace(TINY, recipe="paired", paired_weight=0.0, teacher=str(tmp_path / "teacher.pt"))
    trainer = Trainer(scene, settings, tmp_path)
    terms = [trainer.run_step()["teacher"] for _ in range(30)]
    print(f"distance to the teacher {terms[0]:.3f}, then {terms[-1]:.3f}")
    assert np.mean(terms[-5:]) < 0.7 * np.mean(terms[:3])


def test_steadiness_makes_noise_count_for_less(scene: Scene, tmp_path: Path) -> None:
    answers = []
    for weight in (0.0, 100.0):
        trainer = Trainer(scene, replace(TINY, recipe="paired", steps=100, steady_weight=weight), tmp_path)
        for _ in range(100):
            terms = trainer.run_step()
        assert ("steady" in terms) == (weight > 0)
        trainer.model.eval()
        torch.manual_seed(1)
        night = trainer._tensor([scene.night[0]] * 8)
        with torch.inference_mode():
            day = trainer.model.translate(trainer._noisy(night))
        answers.append(255 * float(day.std(dim=0).mean()))
    print(f"grey levels of change under noise: {answers[0]:.2f}, with the term {answers[1]:.2f}")
    assert answers[1] < 0.8 * answers[0]


def test_what_stands_still_by_night_becomes_the_background(scene: Scene, tmp_path: Path) -> None:
    """Where nights agree with their median the output goes to x_ref; of what moves in them nothing is asked."""
    empty = (scene.background * 0.2).astype(np.uint8)
    nights = [empty.copy() for _ in range(6)]
    for i, night in enumerate(nights[:3]):
        night[40:70, 20 + 40 * i : 50 + 40 * i] = 200
    settings = replace(
        TINY, recipe="paired", paired_weight=0.0, still_weight=10.0, steps=200, see_reference=True
    )
    days = [scene.background.copy() for _ in range(4)]
    days[1][100:120, 20:50] = 255 - days[1][100:120, 20:50]
    trainer = Trainer(replace(scene, night=nights, day=days), settings, tmp_path)
    for i, still in enumerate(trainer.still):
        moving = np.zeros(still.shape, bool)
        moving[40:70, 20 + 40 * i : 50 + 40 * i] = i < 3
        assert not still[moving].any()
        assert still[moving == 0].mean() > 0.8
        assert not still[105:115, 25:45].any()  # by day something was there
    terms = [trainer.run_step()["still"] for _ in range(100)]
    print(f"distance to x_ref {terms[0]:.3f}, then {terms[-1]:.3f}")
    assert np.mean(terms[-5:]) < 0.6 * np.mean(terms[:3])


@pytest.mark.parametrize("kind", ["resnet", "light"])
def test_a_blending_model_is_saved_with_its_mask(scene: Scene, tmp_path: Path, kind: str) -> None:
    generator = replace(TINY.generator, kind=kind)  # type: ignore[arg-type]
    settings = replace(TINY, recipe="paired", generator=generator, see_reference=True, blend=True)
    trainer = Trainer(scene, settings, tmp_path)
    trainer.run_step()
    trainer.save()
    assert load_checkpoint(tmp_path / "model.pt").settings.blend
    with pytest.raises(ValueError, match="wants see_reference=True"):
        replace(settings, see_reference=False)
