"""What a scene is refused for before training, on a real clip and what may be wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.train.cli import main
from nightday.train.footage.checks import MIN_DAY, MIN_NIGHT, check_scene
from nightday.train.footage.edges import edge_field, offset
from nightday.train.footage.finding import Finding
from nightday.train.footage.night_conditions import TEST_NIGHT
from nightday.train.footage.night_simulator import darken
from nightday.train.footage.scene import Scene, read_frames, temporal_median, write_picture

Image = NDArray[np.uint8]
CLIPS = Path(__file__).parents[3] / "benchmarks" / "clips"


@pytest.fixture(scope="module")
def day() -> list[Image]:
    return read_frames(CLIPS / "day_tfl_09731_a1_barnet.mp4")[::4]


@pytest.fixture(scope="module")
def nights(day: list[Image]) -> list[Image]:
    return list(darken(day[::5], temporal_median(day), TEST_NIGHT, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def elsewhere() -> list[Image]:
    return read_frames(CLIPS / "night_tfl_07450_piccadilly.mp4")[:200:20]


def of(day: list[Image], nights: list[Image], background: Image | None = None) -> Scene:
    return Scene("gate", day, nights, temporal_median(day) if background is None else background)


def refusals(scene: Scene) -> list[str]:
    found = check_scene(scene, learns_nights=True)
    assert all("\n" not in f.text for f in found)
    return [f.text for f in found if f.refuse]


def moved(image: Image, x: float, y: float) -> Image:
    """Shifted by (x, y) pixels to the right and down, the border repeated."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    size = image.shape[1::-1]
    return np.asarray(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def test_a_fixed_camera_by_day_and_by_night_is_not_refused(day: list[Image], nights: list[Image]) -> None:
    assert check_scene(of(day, nights), learns_nights=True) == []


def test_too_few_pictures_are_refused_and_few_are_warned_of(day: list[Image], nights: list[Image]) -> None:
    background = temporal_median(day)
    (text,) = refusals(of(day[: MIN_DAY - 1], nights, background))
    assert f"{MIN_DAY - 1} different day pictures: at least {MIN_DAY}" in text
    (text,) = refusals(of([*day[: MIN_DAY - 1], *[day[0]] * 30], nights, background))  # a frozen camera
    assert f"{MIN_DAY - 1} different day pictures" in text
    few = of(day[::7][:MIN_DAY], nights[: MIN_NIGHT - 1], background)
    (text,) = refusals(few)
    assert f"{MIN_NIGHT - 1} different night pictures: at least {MIN_NIGHT}" in text
    found = check_scene(few, learns_nights=False)
    assert [f.refuse for f in found] == [False, False]
    assert "5 different day pictures are few" in found[0].text


def test_nights_from_another_position_are_refused_with_the_distance(
    day: list[Image], nights: list[Image], rng: np.random.Generator
) -> None:
    x, y = (int(v) * int(rng.choice((-1, 1))) for v in rng.integers(8, 40, 2))
    (text,) = refusals(of(day, [moved(n, x, y) for n in nights]))
    assert "day and night are not aligned" in text
    side, height = ("right" if x > 0 else "left"), ("down" if y > 0 else "up")
    assert side in text
    assert height in text
    at = offset(edge_field(day[0]), edge_field(moved(day[0], x, y)))
    assert at.x * 352 == pytest.approx(x, abs=2.5)
    assert at.y * 352 == pytest.approx(y, abs=2.5)


def test_zoomed_nights_and_other_nights_are_refused(
    day: list[Image], nights: list[Image], elsewhere: list[Image]
) -> None:
    zoom = cv2.getRotationMatrix2D((176, 144), 0, 1.08)
    (text,) = refusals(of(day, [cv2.warpAffine(n, zoom, (352, 288)).astype(np.uint8) for n in nights]))
    assert "not aligned" in text or "do not show what the days show" in text
    (text,) = refusals(of(day, elsewhere))
    assert "the nights do not show what the days show: their edges match by 0.0" in text


def test_a_night_too_dark_to_judge_is_only_warned_of(day: list[Image], rng: np.random.Generator) -> None:
    black = [rng.integers(0, 4, day[0].shape).astype(np.uint8) for _ in range(12)]
    found = check_scene(of(day, black), learns_nights=True)
    assert [f.refuse for f in found] == [False]
    assert "the nights show too few edges" in found[0].text


@pytest.mark.parametrize("what", ["turned once", "wind", "another view"])
def test_a_camera_that_moves_is_refused(
    day: list[Image],
    nights: list[Image],
    elsewhere: list[Image],
    rng: np.random.Generator,
    what: str,
) -> None:
    count = round(0.7 * len(day))
    frames = {
        "turned once": [f if i < count else moved(f, 12, 0) for i, f in enumerate(day)],
        "wind": [moved(f, *rng.normal(0, 6, 2)) for f in day],
        "another view": [*day[:count], *elsewhere, *elsewhere],
    }[what]
    (text,) = refusals(of(frames, nights))
    assert text.startswith("the camera moved: ")
    assert ("of another view" in text) == (what == "another view")
    if what == "turned once":
        assert "shifted by up to 3." in text  # 12 of 352 pixels are 3.4 %


def test_one_odd_picture_is_no_moved_camera(day: list[Image], nights: list[Image]) -> None:
    found = check_scene(of([*day[:-1], moved(day[-1], 30, 0)], nights), learns_nights=True)
    assert [(f.refuse, f.text.split(":")[0]) for f in found] == [(False, "the camera moved")]


def test_a_background_of_another_position_is_refused(day: list[Image], nights: list[Image]) -> None:
    (text,) = refusals(of(day, nights, moved(temporal_median(day), 20, 0)))
    assert text.startswith("background.png does not fit the day pictures (shifted by 5.")


def with_lorry(day: list[Image], rng: np.random.Generator, first: float, end: float) -> list[Image]:
    """A lorry 56×46 pixels on the road at (140, 158), there from ``first`` to ``end`` of the time.

    Its colours are random, and none is the road's: such a lorry could not be told from the road.
    """
    road = np.median(temporal_median(day)[158:204, 140:196], axis=(0, 1))
    colours = rng.integers(20, 240, (400, 3), dtype=np.uint8)
    colours = colours[np.abs(colours - road).max(axis=1) > 60][:20].reshape(4, 5, 3)
    lorry = cv2.resize(colours, (56, 46))
    frames = [f.copy() for f in day]
    for frame in frames[round(first * len(day)) : round(end * len(day))]:
        frame[158:204, 140:196] = lorry
    return frames


@pytest.mark.parametrize(("first", "end"), [(0, 0.7), (0.3, 1), (0.2, 0.8)])
def test_a_lorry_parked_for_most_of_the_time_is_refused_with_its_box(
    day: list[Image], nights: list[Image], rng: np.random.Generator, first: float, end: float
) -> None:
    (text,) = refusals(of(with_lorry(day, rng, first, end), nights))
    match = re.search(r"there in (\d+) % .*: (\d+)×(\d+) pixels at x=(\d+), y=(\d+), ([\d.]+) % of", text)
    assert match
    part, width, height, x, y = (int(v) for v in match.groups()[:5])
    assert part == pytest.approx(100 * (end - first), abs=3)
    assert float(match[6]) == pytest.approx(100 * 56 * 46 / (352 * 288), rel=0.4)
    overlap = max(0, min(x + width, 196) - max(x, 140)) * max(0, min(y + height, 204) - max(y, 158))
    assert overlap > 0.6 * 56 * 46
    assert width * height < 2 * 56 * 46


def test_a_lorry_that_the_background_does_not_show_is_none_of_its_business(
    day: list[Image], nights: list[Image], rng: np.random.Generator
) -> None:
    late = with_lorry(day, rng, 0.7, 1)
    assert not refusals(of(late, nights))
    long = with_lorry(day, rng, 0, 0.7)
    assert not refusals(of(long, nights, temporal_median(day)))  # a background.png of the empty scene


def test_the_command_refuses_in_one_line_and_can_be_forced(
    day: list[Image], elsewhere: list[Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, images in (("day", day[::4]), ("night", elsewhere)):
        for i, image in enumerate(images):
            small = cv2.resize(image, (176, 144), interpolation=cv2.INTER_AREA)
            write_picture(tmp_path / "gate" / name / f"{i:03d}.png", small.astype(np.uint8))
    arguments = [
        "--scene",
        str(tmp_path / "gate"),
        "--out",
        str(tmp_path / "run"),
        "--steps",
        "1",
        "--batch",
        "1",
    ]
    arguments += ["--crop", "32", "32", "--recipe", "paired"]
    assert main(arguments) == 2
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal.startswith("nightday-train: gate: the nights do not show what the days show")
    assert refusal.endswith("(--force trains anyway)")
    assert not (tmp_path / "run").exists()
    assert main([*arguments, "--force"]) == 0
    assert "warning: the nights do not show what the days show" in capsys.readouterr().err


def test_findings_come_refusals_first(day: list[Image], elsewhere: list[Image]) -> None:
    found: list[Finding] = check_scene(of(day[::4], elsewhere), learns_nights=True)
    assert [f.refuse for f in found] == sorted((f.refuse for f in found), reverse=True)
    assert {f.refuse for f in found} == {True, False}
