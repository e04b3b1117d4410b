"""What a training run may add: x_ref as an input, a teacher, steadiness under noise, other cameras, other light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.errors import CheckpointError
from nightday.engines.model.checkpoint import load_checkpoint, save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.augment import Augmenter, Inserted, insert_into_night, relit
from nightday.train.footage.foreground import foreground_mask
from nightday.train.footage.linear_light import linear_to_srgb8, srgb_to_linear
from nightday.train.footage.night_conditions import TEST_NIGHT, NightConditions
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import (
    Image,
    Scene,
    SceneError,
    load_day,
    read_frames,
    temporal_median,
    write_picture,
)
from nightday.train.objectives.loss_settings import LossSettings
from nightday.train.run.losses import with_noise
from nightday.train.run.sampler import Pair, RealNight
from nightday.train.run.settings import TrainSettings
from nightday.train.run.state import ResumeError
from nightday.train.run.tensors import to_tensor
from nightday.train.run.trainer import Trainer
from nightday.train.run.translation import translate
from nightday.train.scores.baselines import TFL_LABELS, score

CLIP = Path(__file__).parents[3] / "benchmarks" / "clips" / "day_tfl_09731_a1_barnet.mp4"
TINY = TrainSettings(
    recipe="paired+dico",
    generator=GeneratorSettings(blocks=1, width=4, norm="batch", invariant_radius=4),
    losses=LossSettings(anchors=16),
    steps=40,
    batch=1,
    crop=(64, 80),
    unpaired_from=0.0,
)
# For tests that train for many steps: with a third of the pixels and no invariant a step takes half as long.
QUICK = replace(TINY, recipe="paired", generator=replace(TINY.generator, input="rgb"), crop=(32, 48))


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

    def noted(x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        seen.append((x, reference))
        return translate(x, reference)

    monkeypatch.setattr(trainer.model, "translate", noted)
    for _ in range(4):
        trainer.run_step()
    for night, reference in seen:
        torch.testing.assert_close(night, reference)
    assert len({float(night.mean()) for night, _ in seen}) > 1


def replace_pictures(scene: Scene, picture: Image) -> Scene:
    return Scene(scene.name, scene.day, [picture], picture)


def test_a_teacher_is_followed(scene: Scene, tmp_path: Path) -> None:
    """With nothing else to learn, the student comes nearer to the teacher's pictures of real nights."""
    torch.manual_seed(torch.seed() % 2**32)
    teacher = NightToDay(QUICK.generator)
    generator: Any = teacher.generator
    torch.nn.init.constant_(generator.layers[-2].bias, 0.5)
    save_checkpoint(tmp_path / "teacher.pt", teacher)
    settings = replace(QUICK, paired_weight=0.0, teacher=str(tmp_path / "teacher.pt"))
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
        night = to_tensor([scene.night[0]] * 8, trainer.device)
        with torch.inference_mode():
            day = trainer.model.translate(with_noise(night))
        answers.append(255 * float(day.std(dim=0).mean()))
    print(f"grey levels of change under noise: {answers[0]:.2f}, with the term {answers[1]:.2f}")
    assert answers[1] < 0.8 * answers[0]


def test_what_stands_still_by_night_becomes_the_background(scene: Scene, tmp_path: Path) -> None:
    """Where nights agree with their median the output goes to x_ref; of what moves in them nothing is asked."""
    empty = (scene.background * 0.2).astype(np.uint8)
    queue = np.s_[75:105, 5:60]  # stands there all night
    empty[queue] = np.random.default_rng().integers(0, 60, empty[queue].shape)
    nights = [empty.copy() for _ in range(6)]
    for i, night in enumerate(nights[:3]):
        night[40:70, 20 + 40 * i : 50 + 40 * i] = 200
    settings = replace(QUICK, paired_weight=0.0, still_weight=10.0, steps=200, see_reference=True)
    days = [scene.background.copy() for _ in range(4)]
    sunny = np.s_[4:34, 70:110]  # changes by day, but by night is as in x_ref
    for place in (queue, sunny):
        days[1][place] = 255 - days[1][place]
    trainer = Trainer(replace(scene, night=nights, day=days), settings, tmp_path)
    for i, still in enumerate(trainer.sampler.own.stationary):
        moving = np.zeros(still.shape, bool)
        moving[40:70, 20 + 40 * i : 50 + 40 * i] = i < 3
        assert not still[moving].any()
        assert still[moving == 0].mean() > 0.7
        assert not still[85:95, 20:45].any()
        assert still[sunny].all()

    @torch.no_grad()
    def distance() -> float:
        """Mean |x_N→D - x_ref| where the nights are still."""
        wanted = to_tensor([scene.background], trainer.device)
        off = [
            (trainer.model.translate(to_tensor([night], trainer.device)) - wanted).abs()[0]
            for night in nights
        ]
        return float(
            np.mean([d[:, s].mean() for d, s in zip(off, trainer.sampler.own.stationary, strict=True)])
        )

    before = distance()
    terms = [trainer.run_step()["still"] for _ in range(200)]
    after = distance()
    print(f"distance to x_ref {before:.3f}, then {after:.3f}; the term {terms[0]:.3f}, then {terms[-1]:.3f}")
    assert after < 0.6 * before


def test_lamps_of_some_nights_and_what_blinds_leave_them_still_and_a_bus_and_headlights_do_not(
    scene: Scene, tmp_path: Path
) -> None:
    y, x = np.mgrid[:128, :160]
    pool = 4 / (1 + ((x - 50) / 40) ** 2 + ((y - 70) / 30) ** 2)  # of light, beside the others' 1
    own = srgb_to_linear(scene.background)
    dark, lit = (
        linear_to_srgb8(own * np.float32(0.1) * light)
        for light in (np.float32(1), 1 + pool[..., None].astype(np.float32))
    )
    bus = lit.copy()
    bus[30:80, 30:110] = 170  # plain, and no brighter than the lamp could make it
    blinded = cv2.circle(dark.copy(), (60, 50), 10, (255, 255, 255), cv2.FILLED)
    headlights = dark.copy()
    for x_at in (56, 64):
        cv2.circle(headlights, (x_at, 50), 2, (255, 255, 255), cv2.FILLED)
    settings = replace(TINY, recipe="paired", still_weight=1.0, see_reference=True)
    trainer = Trainer(
        replace(scene, night=[dark] * 7 + [lit, bus, headlights, blinded, blinded]), settings, tmp_path
    )
    pooled = foreground_mask(lit, dark, threshold=20)
    assert pooled.mean() > 0.1
    assert trainer.sampler.own.stationary[7][pooled].mean() > 0.8
    assert not trainer.sampler.own.stationary[8][30:80, 30:110].any()
    assert not trainer.sampler.own.stationary[9][48:53, 54:67].any()
    assert trainer.sampler.own.stationary[10][43:58, 53:68].all()
    rarely = replace(scene, night=[dark] * 20 + [blinded])
    assert not Trainer(rarely, settings, tmp_path).sampler.own.stationary[20][43:58, 53:68].any()


@pytest.mark.parametrize("kind", ["resnet", "light"])
def test_a_blending_model_is_saved_with_its_mask(scene: Scene, tmp_path: Path, kind: str) -> None:
    generator = replace(TINY.generator, kind=kind)  # type: ignore[arg-type]
    settings = replace(TINY, recipe="paired", generator=generator, see_reference=True, blend=True)
    trainer = Trainer(scene, settings, tmp_path)
    trainer.run_step()
    trainer.save()
    assert load_checkpoint(tmp_path / "model.pt").settings.blend
    with pytest.raises(ValueError, match="needs see_reference=True"):
        replace(settings, see_reference=False)


@pytest.mark.parametrize("kind", ["resnet", "light"])
@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_a_mask_that_shows_nothing_learns_to_only_by_itself(
    scene: Scene, tmp_path: Path, kind: str, weight: float
) -> None:
    """α at 0 everywhere, where the blended picture leads nowhere: its own term brings it to what moves."""
    torch.manual_seed(torch.seed() % 2**32)
    generator = replace(TINY.generator, kind=kind)  # type: ignore[arg-type]
    settings = replace(
        TINY, recipe="paired", generator=generator, see_reference=True, blend=True, layers_weight=weight,
        learning_rate=1e-2, steps=100, batch=2,
    )  # fmt: skip
    trainer = Trainer(scene, settings, tmp_path)
    inner: Any = trainer.model.generator.generator
    bias = inner.layers[-2].bias if kind == "resnet" else inner.out[0].bias
    with torch.no_grad():
        bias[-(1 if kind == "resnet" else 4) :] = -10.0
    terms = [trainer.run_step() for _ in range(settings.steps)]
    pairs = [trainer.sampler.pair() for _ in range(8)]
    trainer.model.eval()
    with torch.inference_mode():
        nights, seen = (
            to_tensor(some, trainer.device)
            for some in zip(*((p.night, p.reference) for p in pairs), strict=True)
        )
        alpha = torch.sigmoid(trainer.model.translate_in_layers(nights, seen).present)[:, 0].numpy()
    moving = np.stack([pair.foreground for pair in pairs])
    print(f"α where something moves {alpha[moving].mean():.2f}, elsewhere {alpha[~moving].mean():.2f}")
    if weight:
        assert np.mean([t["mask"] for t in terms[-9:]]) < 0.5 * np.mean([t["mask"] for t in terms[:9]])
        assert alpha[moving].mean() > max(0.1, 1.5 * alpha[~moving].mean())
    else:
        assert set(terms[-1]) == {"paired"}
        assert alpha.max() < 1e-6


def test_what_is_insert_into_nightto_a_real_night_is_told_whatever_it_weighs(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [np.zeros(TINY.crop, bool)]  # where there is a thing, seen or not

    def noted(
        rng: np.random.Generator,
        night: Image,
        background: Image,
        day: Image,
        mask: NDArray[np.bool_],
        own: None,
    ) -> Inserted:
        given.append(mask)
        return insert_into_night(rng, night, background, day, mask, own)

    monkeypatch.setattr("nightday.train.run.sampler.insert_into_night", noted)
    settings = replace(
        TINY, recipe="paired", see_reference=True, blend=True, still_weight=1.0, foreground_weight=0.0
    )
    trainer = Trainer(scene, settings, tmp_path)
    found = 0
    for _ in range(40):
        crop = trainer.sampler.own.augment.crop(trainer.sampler.rng)
        before = crop(scene.night[0])
        given.append(np.zeros(TINY.crop, bool))
        bare = RealNight(before, crop(scene.background), None, None, None)
        real = trainer.sampler.with_target(trainer.sampler.own, crop, bare, 0)
        night, target = real.night, real.target
        assert target is not None
        wanted, weight, moving = target.day, target.weight, target.inserted
        far = cv2.dilate(moving.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
        around = far & (cv2.dilate(given[-1].astype(np.uint8), np.ones((15, 15), np.uint8)) == 0)
        assert (night[around].astype(int) - before[around] >= -1).all()  # light only adds, rounding aside
        np.testing.assert_array_equal(wanted[far], crop(scene.background)[far])
        assert (weight[moving] == 1).all()
        found += int(moving.any())
    assert found > 5
    assert {"drawn", "mask", "still"} <= set(trainer.run_step())


def test_what_is_insert_into_nightto_a_night_is_lit_by_it() -> None:
    """An orange light on a grey place: a thing of known reflectance must come out in that light, I = L R."""
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    light = np.array([0.3, 0.12, 0.05], np.float32)
    background = np.full((96, 128, 3), 150, np.uint8)
    night = linear_to_srgb8(srgb_to_linear(background) * light)
    day, mask = background.copy(), np.zeros((96, 128), bool)
    mask[20:80, 30:100] = True
    day[mask] = (220, 120, 180)
    drawn = [insert_into_night(rng, night, background, day, mask) for _ in range(15)]
    inside = cv2.erode(mask.astype(np.uint8), np.ones((11, 11), np.uint8)) == 1
    outside = cv2.dilate(mask.astype(np.uint8), np.ones((11, 11), np.uint8)) == 0
    for each in drawn:
        np.testing.assert_array_equal(each.day[inside], day[inside])
        np.testing.assert_array_equal(each.day[outside], background[outside])
    lit = [each.night for each in drawn]
    seen = np.min(
        [np.median(srgb_to_linear(each)[inside], axis=0) for each in lit], axis=0
    )  # lamps add to it
    np.testing.assert_allclose(seen, srgb_to_linear(day)[inside][0] * light, rtol=0.15, atol=0.01)
    assert any((each[inside].min(axis=1) > 250).any() or (each[inside][:, 0] > 250).any() for each in lit)


def test_what_the_night_has_no_light_for_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nightday.train.footage.augment.random_conditions",
        lambda _: NightConditions(ambient=0.1, headlights=0.0),
    )
    background = np.full((96, 128, 3), 150, np.uint8)
    night = np.full_like(background, 60)
    night[:, :64] = 0  # pitch dark
    day, mask = background.copy(), np.zeros((96, 128), bool)
    mask[20:76, 10:118] = True
    day[mask] = 20
    made = insert_into_night(np.random.default_rng(), night, background, day, mask)
    wanted, visible = made.day, made.visible
    lit, dark = np.s_[30:66, 85:110], np.s_[30:66, 20:45]
    assert visible[lit].all()
    assert not visible[dark].any()
    assert not (visible & ~mask).any()
    np.testing.assert_array_equal(wanted[lit], day[lit])
    np.testing.assert_array_equal(wanted[dark], background[dark])


def test_layers_are_weighed_only_where_there_are_any() -> None:
    for wrong in (
        replace(TINY, recipe="paired"),
        replace(TINY, recipe="dico", see_reference=True, blend=True),
    ):
        with pytest.raises(ValueError, match=r"layers_weight=1\.0: needs blend=True and pairs"):
            replace(wrong, layers_weight=1.0)


def test_pairs_of_other_cameras_come_with_their_own_background(scene: Scene, tmp_path: Path) -> None:
    """The other camera is white by day: its pairs, and what the generator is shown of its x_ref, are white too."""
    white = np.full((96, 112, 3), 255, np.uint8)
    settings = replace(TINY, recipe="paired", see_reference=True, others_share=0.5, pairs=4)
    trainer = Trainer(scene, settings, tmp_path, others=[Scene("white", [white] * 3, [], white)])
    pairs = [trainer.sampler.pair() for _ in range(60)]
    of_white = [pair for pair in pairs if pair.reference.min() == 255]
    assert 10 <= len(of_white) <= 50
    assert all(pair.day.min() == 255 and pair.night.mean() < 250 for pair in of_white)
    assert np.isfinite(trainer.run_step()["paired"])
    trainer.save()
    with pytest.raises(ResumeError, match="scene"):
        Trainer(scene, settings, tmp_path).resume()  # not the same pictures without the other camera


def test_shade_changes_the_night_and_not_the_day(scene: Scene, tmp_path: Path) -> None:
    def drawn(shade: float) -> Pair:
        return Trainer(scene, replace(TINY, recipe="paired", shade=shade), tmp_path).sampler.pair()

    plain, other = drawn(0.0), drawn(2.0)
    np.testing.assert_array_equal(plain.day, other.day)
    assert (plain.night != other.night).any()


def test_light_differs_by_no_more_than_is_said() -> None:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    day = np.full((64, 80, 3), 128, np.uint8)
    stops = [np.log2(srgb_to_linear(relit(rng, day, 1.0)) / srgb_to_linear(day)) for _ in range(30)]
    assert max(float(np.abs(each).max()) for each in stops) <= 1.05  # and what rounding to bytes adds
    assert max(float(np.ptp(each)) for each in stops) > 0.5


def test_a_day_in_other_light_tells_nothing_of_what_moves(scene: Scene) -> None:
    bright = np.clip(scene.background.astype(int) + 90, 0, 255).astype(np.uint8)
    rng = np.random.default_rng()
    augment = Augmenter(replace(scene, day=[bright] * 5), (64, 80))
    for _ in range(10):
        crop = augment.crop(rng)
        day, mask = augment.day(rng, crop)
        np.testing.assert_array_equal(day, crop(scene.background))
        assert not mask.any()


def test_a_model_of_one_place_starts_another_of_another_size(scene: Scene, tmp_path: Path) -> None:
    settings = replace(TINY, recipe="paired", see_reference=True, blend=True)
    small = Scene("small", [f[:96, :128] for f in scene.day], [], scene.background[:96, :128])
    first = Trainer(small, settings, tmp_path / "small")
    first.run_step()
    first.save()
    second = Trainer(
        scene, replace(settings, start_from=str(tmp_path / "small" / "model.pt")), tmp_path / "large"
    )
    assert second.model.settings.reference == scene.background.shape[:2]
    np.testing.assert_array_equal(second.model.reference.permute(1, 2, 0).numpy(), scene.background)
    before, after = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name != "reference")
    plain = replace(TINY, recipe="paired", start_from=str(tmp_path / "small" / "model.pt"))
    with pytest.raises(CheckpointError, match="make them agree"):
        Trainer(scene, plain, tmp_path / "third")


def test_a_folder_a_clip_and_a_scene_are_other_cameras(scene: Scene, tmp_path: Path) -> None:
    for i, frame in enumerate(scene.day[:3]):
        write_picture(tmp_path / "gate" / "day" / f"{i}.png", frame)
    of_scene, of_folder, of_clip = (
        load_day(path) for path in (tmp_path / "gate", tmp_path / "gate" / "day", CLIP)
    )
    assert (of_scene.name, of_folder.name, of_clip.name) == ("gate", "day", CLIP.stem)
    for other in (of_scene, of_folder):
        np.testing.assert_array_equal(np.stack(other.day), np.stack(scene.day[:3]))
        np.testing.assert_array_equal(other.background, temporal_median(scene.day[:3]))
    assert of_clip.background.shape == (288, 352, 3)
    with pytest.raises(SceneError, match="no such clip or folder"):
        load_day(tmp_path / "nothing")


def test_the_general_model_shows_what_moves_at_a_camera_it_has_never_seen() -> None:
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    clip = read_frames(CLIP)
    background, days = temporal_median(clip[:90]), clip[120::28]
    darken = NightSimulator(TEST_NIGHT, background.shape[:2], np.random.default_rng(seed))
    nights = [darken(day, foreground_mask(day, background)) for day in days]
    general = load_checkpoint(CLIP.parents[2] / "weights" / "general.pt")
    by_night = temporal_median([darken(day, foreground_mask(day, background)) for day in clip[:90:10]])
    outputs = translate(general, nights, background, [by_night] * len(nights))
    made = score("model", outputs, days, background, labels=TFL_LABELS)
    paste = score("x_ref", [background] * len(days), days, background, labels=TFL_LABELS)
    print(made, paste)
    assert made.foreground > paste.foreground + 0.8  # 1.6 when it was made
    assert made.whole > paste.whole + 0.5  # 1.3


@pytest.mark.parametrize(
    "more", [{}, {"steady_weight": 1.0}, {"still_weight": 0.0}, {"still_weight": 0.0, "teacher": "held"}]
)
def test_a_model_with_backgrounds_learns_by_the_evidence(
    scene: Scene, tmp_path: Path, more: dict[str, object]
) -> None:
    generator = replace(TINY.generator, kind="light")
    settings = replace(
        TINY, recipe="paired", generator=generator, backgrounds=True, still_weight=1.0, evidence_weight=2.0
    )
    if "teacher" in more:  # one that takes backgrounds as well
        Trainer(scene, settings, tmp_path / "held").save()
        more = more | {"teacher": str(tmp_path / "held" / "model.pt")}
    trainer = Trainer(scene, replace(settings, **more), tmp_path / "run")  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    terms = trainer.run_step()
    assert {"paired", "drawn", "mask", "evidence", "error"} <= set(terms)
    assert all(np.isfinite(value) for value in terms.values())
    for name, parameter in trainer.model.named_parameters():
        assert not torch.equal(parameter, before[name]), name


def test_a_camera_without_nights_borrows_those_of_others_to_learn_by_the_evidence(
    scene: Scene, tmp_path: Path
) -> None:
    settings = replace(TINY, recipe="paired", backgrounds=True, still_weight=1.0)
    days = replace(scene, night=[])
    with pytest.raises(SceneError, match="no night picture"):
        Trainer(days, settings, tmp_path / "none")
    drawn = Trainer(days, settings, tmp_path / "others", others=[scene]).sampler.real_nights()
    assert len(drawn) == TINY.batch
    assert all(each.target is not None and each.night_reference is not None for each in drawn)
