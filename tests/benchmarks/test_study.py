"""The study on scenes small enough for seconds: its splits, its rivals, its runs, its tables."""

from __future__ import annotations

import itertools
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks.study.methods import METHODS, Budget, translate
from benchmarks.study.published_cut import BlurDown, BlurUp, PublishedCut
from benchmarks.study.report import beside_table, fill, read, scene_table, score_table, sheet
from benchmarks.study.rivals import RIVALS, Cut, CycleGan
from benchmarks.study.run import pending, picture_paths, run_one, score_again
from benchmarks.study.scenes import StudyScene, entries, load, load_stills
from benchmarks.study.table import Run, read_runs, write_run
from nightday.engines.model.settings import GeneratorSettings
from nightday.train.footage.scene import Scene, read_frames, temporal_median, write_picture
from nightday.train.scores.image_distances import FeatureMap
from nightday.train.scores.scorer import HeldOut, Scorer

CLIPS = Path(__file__).parents[2] / "benchmarks" / "clips"
TINY = GeneratorSettings(blocks=5, width=4, input="rgb")
BUDGET = Budget(steps=4, crop=64)


@pytest.fixture(scope="module")
def scene() -> StudyScene:
    frames = [
        cv2.resize(f, (96, 80), interpolation=cv2.INTER_AREA)
        for f in read_frames(CLIPS / "day_tfl_09731_a1_barnet.mp4")[::10]
    ]
    nights = [(f * 0.2).astype(np.uint8) for f in frames]
    train = Scene("tiny", frames[:10], nights[10:18], temporal_median(frames[:10]))
    keep = np.ones((80, 96), bool)
    keep[:8] = False
    test = HeldOut(
        nights=nights[18:22],
        truth=frames[18:22],
        real=frames[18:22],
        background=train.background,
        keep=keep,
        video=True,
        floor=frames[:4],
    )
    return StudyScene("vehicle", "Tiny", train, test, shippable=True)


def test_the_six_scenes_name_their_origin_and_cut_clips_by_time() -> None:
    file = entries()
    assert len(file["scenes"]) == 6
    for entry in file["scenes"].values():
        assert len(entry["provenance"]) > 40
        assert "clip" in entry or entry["split"] == "manifest"
        if "clip" in entry:
            parts = [entry[name] for name in ("day", "night", "test")]
            assert all(first < last for first, last in parts)
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(parts))


@pytest.mark.slow
def test_a_clip_gives_unpaired_pictures_and_a_test_with_truth(tmp_path: Path) -> None:
    clip = tmp_path / entries()["scenes"]["vehicle"]["clip"]
    clip.parent.mkdir()
    clip.write_bytes((CLIPS / "day_tfl_09731_a1_barnet.mp4").read_bytes())
    scene = load("vehicle", tmp_path, height=72)
    frames = len(read_frames(clip))
    assert scene.train.background.shape == (72, 88, 3)
    assert len(scene.train.day) + len(scene.train.night) + len(scene.test.nights) == pytest.approx(
        frames, abs=2
    )
    assert scene.test.truth is not None
    day, night = (np.mean([p.mean() for p in pictures]) for pictures in (scene.test.truth, scene.test.nights))
    assert night < 0.4 * day
    # The truth is the same moment: its moving things shine in the night.
    assert not scene.test.keep[:4, :20].any()
    assert 0.8 < scene.test.keep.mean() < 1


def test_stills_follow_the_manifest(tmp_path: Path) -> None:
    lines = ["path,scene,label,split,frames,mean_luma"]
    for label in ("day", "night"):
        for i, split in enumerate(("train", "train", "test", "test", "test")):
            path = f"cam/{label}/{i}.png"
            write_picture(
                tmp_path / path, np.full((60, 90, 3), 200 - i if label == "day" else 20 + i, np.uint8)
            )
            lines.append(f"{path},cam,{label},{split},,0")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    scene = load_stills("cam", tmp_path, "cam", height=30, labels=[[0, 0, 30, 20]], title="Cam")
    assert [int(p.mean()) for p in scene.train.day] == [200, 199]
    assert [int(p.mean()) for p in scene.train.night] == [20, 21]
    assert [int(p.mean()) for p in scene.test.nights] == [22, 23, 24]
    assert [int(p.mean()) for p in scene.test.real] == [198, 197, 196]
    assert scene.test.truth is None
    assert not scene.test.keep[:10, :10].any()
    assert scene.test.keep[10:, 10:].all()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RIVALS))
def test_a_rival_moves_every_network_and_repeats_with_its_seed(scene: StudyScene, name: str) -> None:
    def run(seed: int) -> dict[str, torch.Tensor]:
        rival = RIVALS[name](scene.train, TINY, crop=(64, 64), steps=4, seed=seed)
        before = {k: v.clone() for k, v in rival.model.named_parameters()}
        others = [m for m in vars(rival).values() if isinstance(m, torch.nn.Module) and m is not rival.model]
        start = [torch.cat([p.flatten() for p in m.parameters()]).clone() for m in others]
        for _ in range(2):
            rival.run_step()
        assert all(not torch.equal(before[k], v) for k, v in rival.model.named_parameters())
        for module, old in zip(others, start, strict=True):
            assert not torch.equal(torch.cat([p.flatten() for p in module.parameters()]), old)
        return {k: v.clone() for k, v in rival.model.state_dict().items()}

    first, again, other = run(5), run(5), run(6)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_cut_takes_features_where_the_paper_does(scene: StudyScene) -> None:
    """The input, after both halvings, after the first block and the fifth; least contrast for the picture itself."""
    rival = Cut(scene.train, TINY, crop=(64, 64), steps=4, seed=0)
    night = rival._crop(scene.train.night)
    shapes = [tuple(f.shape[1:]) for f in rival._features(night)]
    assert shapes == [(3, 70, 70), (8, 32, 32), (16, 16, 16), (16, 16, 16), (16, 16, 16)]
    with torch.no_grad():
        for head in rival.heads:
            torch.nn.init.orthogonal_(head[0].weight)  # type: ignore[index]
            torch.nn.init.orthogonal_(head[2].weight)  # type: ignore[index]
        assert rival._nce(night, night) < rival._nce(night, torch.rand_like(night))


def test_published_cut_resamples_without_aliases_and_learns(scene: StudyScene) -> None:
    flat, step = torch.full((1, 3, 16, 16), 0.4), torch.zeros(1, 1, 8, 8)
    step[..., 4:] = 1
    for layer, side in ((BlurDown(3), 8), (BlurUp(3), 32)):
        assert torch.allclose(layer(flat), torch.full((1, 3, side, side), 0.4))
    # Linear interpolation between pixel centres, as (1, 3, 3, 1) / 4 gives.
    assert BlurUp(1)(step)[0, 0, 8, 6:10].tolist() == [0, 0.25, 0.75, 1]
    rival = PublishedCut(scene.train, TINY, crop=(64, 64), steps=2, seed=0)
    night = torch.rand(1, 3, 64, 64)
    shapes = [tuple(f.shape[1:]) for f in rival._features(night)]
    assert shapes == [(3, 70, 70), (8, 64, 64), (16, 32, 32), (16, 16, 16), (16, 16, 16)]
    assert rival.model.translate(night).shape == night.shape
    before = [p.clone() for p in rival.model.generator.parameters()]
    rival.run_step()
    assert not all(torch.equal(p, q) for p, q in zip(before, rival.model.generator.parameters(), strict=True))


def test_cyclegans_pool_gives_back_old_fakes(scene: StudyScene) -> None:
    rival = CycleGan(scene.train, TINY, crop=(64, 64), steps=4, seed=0)
    pool: list[torch.Tensor] = []
    fakes = [torch.full((1,), float(i)) for i in range(150)]
    got = [float(rival._pooled(pool, fake)) for fake in fakes]
    assert got[: rival.POOL] == list(range(rival.POOL))
    old = sum(value != i for i, value in enumerate(got[rival.POOL :], start=rival.POOL))
    assert 25 < old < 75
    assert len(pool) == rival.POOL


@pytest.mark.parametrize("key", ["dico_no_lci", "cut", "own", "x_ref"])
def test_a_run_leaves_its_scores_settings_and_pictures(scene: StudyScene, tmp_path: Path, key: str) -> None:
    scorer = Scorer(scene.test, FeatureMap(), rounds=2)
    method = METHODS[key]
    seed = None if method.train is None else 0
    table, runs = tmp_path / "results" / "tiny.jsonl", tmp_path / "runs"
    run_one(scene, scorer, method, BUDGET, seed, table=table, runs=runs)
    result = read_runs(table)["vehicle", key, seed]
    final = result["final"]
    assert {"frechet", "kernel_foreground", "psnr_foreground", "ssim", "warped_error"} <= final.keys()
    assert final["frechet"]["low"] <= final["frechet"]["value"] <= final["frechet"]["high"]
    assert "random orthogonal" in result["features"]
    if method.train is not None:
        assert [look["step"] for look in result["course"]] == [1, 2, 3, 4]
        assert result["best"]["frechet"] == min(look["frechet"] for look in result["course"])
        assert result["course"][-1]["frechet"] == pytest.approx(final["frechet"]["value"], rel=1e-4)
        assert result["budget"]["steps"] == 4
    else:
        assert final["to_x_ref"] > 90
    again = score_again(scene, scorer, method, seed, table=table, runs=runs)
    assert again["final"]["psnr"] == pytest.approx(final["psnr"], abs=1e-3)
    kept = read_runs(table)
    assert list(kept) == [("vehicle", key, seed)]
    assert kept["vehicle", key, seed]["date"] == result["date"]
    assert sorted((runs / "pictures").glob(f"vehicle.{key}.*.png")) == picture_paths(runs, "vehicle", key)
    assert len(picture_paths(runs, "vehicle", key)) == 3


@pytest.mark.slow
def test_ablations_change_what_they_name_and_nothing_else(scene: StudyScene, tmp_path: Path) -> None:
    def settings(key: str) -> object:
        train = METHODS[key].train
        assert train is not None
        return train(scene.train, BUDGET, 0, tmp_path).settings  # type: ignore[attr-defined]

    whole = settings("dico")
    assert (whole.generator.input, whole.losses.reading) == ("replace", "C")  # type: ignore[attr-defined]
    for key, changed in (
        ("dico_no_fore", {"losses": replace(whole.losses, foreground=0.0)}),  # type: ignore[attr-defined]
        ("dico_no_back", {"losses": replace(whole.losses, background=0.0)}),  # type: ignore[attr-defined]
        ("dico_a", {"losses": replace(whole.losses, reading="A")}),  # type: ignore[attr-defined]
        ("dico_no_lci", {"generator": replace(whole.generator, input="rgb")}),  # type: ignore[attr-defined]
    ):
        assert settings(key) == replace(whole, **changed)  # type: ignore[type-var]


def test_what_is_left_goes_seed_by_seed_and_skips_what_is_done(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    scenes, methods, seeds = ["traffic", "vehicle"], ["night", "dico"], [0, 1]
    jobs = pending(table, scenes, methods, seeds)
    assert jobs == [
        ("traffic", "night", None),
        ("vehicle", "night", None),
        ("traffic", "dico", 0),
        ("vehicle", "dico", 0),
        ("traffic", "dico", 1),
        ("vehicle", "dico", 1),
    ]
    for scene, method, seed in (jobs[0], jobs[3]):
        write_run(table, {"scene": scene, "method": method, "seed": seed})
    assert pending(table, scenes, methods, seeds) == [jobs[1], jobs[2], *jobs[4:]]
    assert pending(table, scenes, methods, seeds, done=True) == [jobs[0], jobs[3]]


def _write_runs(table: Path, scene: str, seeds: range) -> None:
    for seed in seeds:
        write_run(table, {"scene": scene, "method": "dico", "seed": seed, "value": 1 / 3})


def test_two_processes_write_one_table_and_lose_no_run(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    fork = get_context("fork")
    writers = [
        fork.Process(target=_write_runs, args=(table, scene, range(20))) for scene in ("vehicle", "crowds")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    runs = read_runs(table)
    assert list(runs) == [(scene, "dico", seed) for scene in ("crowds", "vehicle") for seed in range(20)]
    assert runs["crowds", "dico", 0]["value"] == 0.33333
    assert [path.name for path in tmp_path.iterdir()] == ["table.jsonl"]


def test_a_run_written_again_replaces_its_line(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    for value in (1, 2):
        write_run(table, {"scene": "crowds", "method": "x_ref", "seed": None, "value": value})
    assert len(table.read_text().splitlines()) == 1
    assert read_runs(table)["crowds", "x_ref", None]["value"] == 2


def test_a_sheet_needs_the_pictures_of_every_method_in_the_table(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    for method in ("night", "dico"):
        seed = 0 if method == "dico" else None
        write_run(table, {"scene": "vehicle", "method": method, "seed": seed})
    write_run(table, {"scene": "vehicle", "method": "cut", "seed": 1})  # a seed without pictures
    results = read(table)
    grey = np.full((40, 50, 3), 99, np.uint8)
    for path in picture_paths(tmp_path, "vehicle", "night"):
        write_picture(path, grey)
    assert sheet("vehicle", results, tmp_path, None) is None
    for path in picture_paths(tmp_path, "vehicle", "dico"):
        write_picture(path, grey)
    made = sheet("vehicle", results, tmp_path, None)
    assert made is not None
    assert made.shape == (2 * 40, 180 + 3 * 50, 3)
    assert (made[:, 180:] == 99).all()
    assert sheet("crowds", results, tmp_path, None) is None


def test_tables_hold_means_spreads_and_ratios(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"

    def write(scene: str, method: str, seed: int | None, value: float) -> None:
        final = {"frechet": {"value": value, "low": 0, "high": 9}, "psnr": value}
        write_run(table, {"scene": scene, "method": method, "seed": seed, "final": final})

    for scene, values in (("traffic", (2.0, 4.0)), ("vehicle", (8.0, 8.0))):
        for seed, value in enumerate(values):
            write(scene, "dico", seed, value)
        write(scene, "cut", 0, 2 * values[0])
    write("traffic", "night", None, 50.0)
    results = read(table)

    def distance(run: Run) -> float:
        return float(run["final"]["frechet"]["value"])

    text = scene_table(results, distance, digits=1, scenes=["traffic", "vehicle"])
    assert "| DiCo | 2 | 3.0 ± 1.0 | 8.0 ± 0.0 | **5.5** | 1.00 |" in text
    assert "| CUT | 1 | 4.0 | 16.0 | **10.0** | 1.63 |" in text  # √(4/3 · 16/8)
    assert "| night itself | – | 50.0 | – | – | – |" in text
    assert "| DiCo | 5.50 |" in score_table(results, {"psnr": "PSNR"}, scenes=["traffic", "vehicle"])


def test_runs_are_set_beside_dico_of_the_same_scene_and_seed(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    values = {
        ("traffic", "dico", 0): 2.0,
        ("traffic", "dico", 1): 40.0,
        ("traffic", "cut", 0): 8.0,
        ("vehicle", "dico", 1): 5.0,
        ("vehicle", "cut", 1): 5.0,
        ("crowds", "cut", 1): 1.0,
    }
    for (scene, method, seed), value in values.items():
        final = {"frechet": {"value": value}}
        write_run(table, {"scene": scene, "method": method, "seed": seed, "final": final})
    lines = beside_table(read(table), {"frechet": "Fréchet"}).splitlines()
    assert lines[0] == "| method | runs | Fréchet | higher in |"
    assert lines[2:] == ["| CUT | 2 | **2.00** (1.00 to 4.00) | 1 |"]  # √(8/2 · 5/5); Crowds has no DiCo


def test_a_page_gets_each_files_tables_between_its_markers(tmp_path: Path) -> None:
    for file, value in (("one", 1.25), ("other", 7.75)):
        run = {"scene": "traffic", "method": "dico", "seed": 0, "final": {"frechet": {"value": value}}}
        write_run(tmp_path / f"{file}.jsonl", run)
    page = "".join(
        f"before {file}\n<!-- table {file} frechet -->\nold\n<!-- end -->\nafter {file}\n"
        for file in ("one", "other")
    )
    filled, files = fill(page, tmp_path)
    assert files == ["one", "other"]
    assert "old" not in filled
    first, second = filled.split("after one\n")
    assert "| DiCo | 1 | 1.25 |" in first
    assert "| DiCo | 1 | 7.75 |" in second
    assert fill(filled, tmp_path)[0] == filled


def test_translating_keeps_the_models_mode(scene: StudyScene) -> None:
    rival = Cut(scene.train, TINY, crop=(64, 64), steps=4, seed=0)
    rival.model.train()
    day = translate(rival.model, scene.test.nights, scene.train)
    assert rival.model.training
    assert day[0].shape == scene.test.nights[0].shape
