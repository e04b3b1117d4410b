"""``nightday-eval --week``, on recordings made by the program's own outputs and on collected pictures."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from nightday.engines.detection.detections import Detection
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.outputs.encoding.settings import Encoding
from nightday.pipeline.outputs.encoding.shared_encoder import SharedEncoder
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from nightday.train.footage.scene import write_picture
from nightday.train.report.week import ALONE, BOTH, UNFOUNDED, _drawn
from nightday.train.scores.evaluate import main
from nightday.train.scores.week.footage import Moment, find_week
from nightday.train.scores.week.night import DAY, NIGHT, _Seen
from nightday.train.scores.week.objects import Found
from tests.support.media_helpers import picture

Image = NDArray[np.uint8]
HEIGHT, WIDTH = 96, 128
# 2026-01-10 22:00 UTC; the day before it.
EVENING = 1_768_082_400.0
SECOND = 12_800


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def light_boxes(pictures: Image) -> list[list[Detection]]:
    """A detector of what is as white as the cars below, on pictures of any brightness above theirs."""
    found = []
    for rgb in pictures:
        mask = (rgb.min(axis=2) > 225).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(
            cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3)))
        )
        boxes = [
            (float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, area in stats[1:] if area > 60
        ]
        found.append([Detection("car", 0.9, box) for box in boxes])
    return found


def street(rng: np.random.Generator) -> Image:
    """An empty street by day."""
    coarse = rng.integers(80, 150, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return np.asarray(coarse.repeat(8, 0).repeat(8, 1), np.uint8)


def with_car(empty: Image, x: int, *, white: int = 245) -> Image:
    made = np.array(empty, np.uint8)
    made[40:56, x : x + 24] = white
    made[46:50, x + 6 : x + 18] = white // 4
    return made


def moments(day: Image) -> list[tuple[Image, Image]]:
    """Night and day view of eight moments. A dim car passes at five of them, which the night hides from the detector;
    the day view shows it at four, and at the last two makes up another one."""
    night = (day // 4).astype(np.uint8)
    made = []
    for number in range(8):
        dark, light = night, day
        if number < 5:
            dark = with_car(night, 4 + 16 * number, white=120)
            light = with_car(day, 4 + 16 * number) if number < 4 else day
        if number >= 6:
            light = with_car(light, 100)
        made.append((dark, light))
    return made


def record(folder: Path, given: list[tuple[Image, Image]], *, began: float, generated: bool = True) -> None:
    """Recordings with ``view: pair``, 3 s for each moment."""
    writer = SegmentWriter(
        template=str(folder / "%Y%m%d-%H%M%S.mp4"),
        segment_seconds=15,
        encoder=SharedEncoder(encoding=Encoding(view="pair")),
    )
    for number, (dark, light) in enumerate(given):
        for part in range(6):
            half = 6 * number + part
            shown = picture(
                half * SECOND // 2,
                time_base=Fraction(1, SECOND),
                rgb=light.copy(),
                wall_time=began + half / 2,
            )
            writer.write(replace(shown, seen=dark, translated=generated))
    writer.close()


def test_recordings_are_counted_against_the_night_itself(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day = street(rng)
    week = tmp_path / "gate"
    record(week / "pairs", moments(day), began=EVENING)
    record(week / "pairs", [(day, day)] * 6, began=EVENING + 36_000, generated=False)
    (week / "pairs" / "broken.mp4").write_bytes(b"no video")
    page, told = tmp_path / "page" / "week.html", tmp_path / "week.json"
    detector = f"{__name__}:light_boxes"
    arguments = ["--week", str(week), "--detector", detector, "--page", str(page), "--json", str(told)]
    assert main([*arguments, "--moments", "40"]) == 0
    out = capsys.readouterr().out
    (night,) = json.loads(told.read_text())["nights"]
    assert (night["night"], night["recorded"]) == ("2026-01-10", True)
    assert night["between"].startswith("22:00")
    answers = {one["method"]: one for one in night["answers"]}
    by_night, by_day = answers["the night"], answers["the day view"]
    empty, paste = answers["showing the empty scene"], answers["relit paste"]
    assert by_night["objects"] == 0
    # Four places of the car that passes, and one thing that stands there in the day view alone.
    assert (by_day["objects"], by_day["not_in_evidence"], by_day["of_these_by_night"]) == (5, 1, 0)
    assert (empty["objects"], paste["not_in_evidence"]) == (0, 0)
    assert any("brightened" in name for name in answers)
    assert "found 0 objects by night and 5 on the day view, 1 of which is not in the night's evidence" in out
    assert night["things_shown"] < night["things"]
    html = page.read_text()
    assert night["summary"].replace("'", "&#39;") in html
    assert not re.search(r"(?:src|href)=\"(?!data:)", html)  # it needs nothing else
    assert "broken.mp4: cannot be read as a recording" in html
    assert html.count('class="slider"') >= 3


def test_nights_go_from_noon_to_noon_and_days_are_no_nights(rng: np.random.Generator, tmp_path: Path) -> None:
    day = street(rng)
    # From before midnight to after it, the next evening, and a day between.
    record(tmp_path, moments(day), began=EVENING + 2 * 3600 - 10)
    record(tmp_path, moments(day), began=EVENING + 24 * 3600)
    record(tmp_path, [(day, day)] * 4, began=EVENING + 14 * 3600, generated=False)
    week = find_week(tmp_path, most=6)
    assert [night.title for night in week.nights] == [
        "10 January to 11 January 2026",
        "11 January to 12 January 2026",
    ]
    assert [len(night.moments) for night in week.nights] == [6, 6]
    assert all(moment.generated for night in week.nights for moment in night.moments)
    assert week.not_generated == len(week.day) > 0
    for night in week.nights:
        times = [moment.at for moment in night.moments if moment.at is not None]
        assert times == sorted(times)


def test_a_key_frame_is_found_with_both_halves(rng: np.random.Generator, tmp_path: Path) -> None:
    made = moments(street(rng))
    record(tmp_path, made, began=EVENING)
    for moment in find_week(tmp_path, most=100).nights[0].moments:
        assert moment.at is not None
        dark, light = made[int((moment.at - EVENING + 0.01) // 3)]
        for seen, sent in zip(moment.pair(), (dark, light), strict=True):
            assert seen is not None
            mark = 20  # the mark is drawn into the day view's last rows
            assert np.abs(seen[:-mark].astype(int) - sent[:-mark]).mean() < 6


def test_collected_pictures_are_translated_by_the_checkpoint(
    rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day = street(rng)
    for number, (dark, _) in enumerate(moments(day)):
        write_picture(tmp_path / "gate" / "night" / f"20260110-22{number:02}00Z.jpg", dark)
        write_picture(tmp_path / "gate" / "day" / f"20260110-12{number:02}00Z.jpg", day)
    model = tmp_path / "tiny.pt"
    save_checkpoint(model, NightToDay(GeneratorSettings(blocks=1, width=4)))
    arguments = ["--week", str(tmp_path / "gate"), "--checkpoint", str(model), "--backend", "eager"]
    arguments += ["--page", str(tmp_path / "week.html"), "--json", str(tmp_path / "week.json")]
    assert main(arguments) == 0
    assert "10 January to 11 January 2026, 8 moments" in capsys.readouterr().out
    (night,) = json.loads((tmp_path / "week.json").read_text())["nights"]
    assert (night["recorded"], night["answers"], night["between"]) == (False, [], "22:00 to 22:07")
    assert night["things"] >= 5
    assert "tiny.pt" in (tmp_path / "week.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--moments", "4"], "--moments 4: must be at least 5"),
        (["--boxes", "b.csv"], "--boxes needs --pairs"),
        (["--classes", "car"], "--classes needs --detector"),
        (["--checkpoint", "a.pt", "b.pt"], "give one at most"),
    ],
)
def test_what_cannot_be_done_is_refused(
    arguments: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--week", str(tmp_path), *arguments])
    assert why in capsys.readouterr().err


def test_a_folder_without_a_night_and_an_unknown_class_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--week", str(tmp_path)]) == 2
    assert f"{tmp_path}: no night in it" in capsys.readouterr().err
    detector = ["--detector", f"{__name__}:Named", "--classes", "cars"]
    assert main(["--week", str(tmp_path), *detector]) == 2
    assert "--classes cars" in (said := capsys.readouterr().err)
    assert "did you mean car?" in said


class Named:
    """A detector that tells its classes and finds nothing."""

    names = ("car", "person")

    def __call__(self, pictures: Image) -> list[list[Detection]]:
        return [[] for _ in pictures]


def test_a_recording_of_one_view_is_named(rng: np.random.Generator, tmp_path: Path) -> None:
    writer = SegmentWriter(template=str(tmp_path / "one.mp4"))
    writer.write(picture(0, rgb=street(rng)))
    writer.close()
    with pytest.raises(ValueError, match=r"one\.mp4: has view: day; recordings with view: pair are needed"):
        find_week(tmp_path, most=10)


def test_boxes_tell_what_both_views_have_alone_and_what_nothing_bears_out() -> None:
    """In the page's three colours, on the night and on the day view."""
    places: list[tuple[float, float, float, float]] = [(10, 10, 40, 40), (60, 10, 90, 40), (10, 60, 40, 90)]
    both, alone, unfounded = (
        Found(box, "car", evident, False) for box, evident in zip(places, (True, True, False), strict=True)
    )
    seen = _Seen(
        Moment(Path("a.jpg"), None),
        0.1,
        {NIGHT: [both, alone], DAY: [replace(both, by_night=True), unfounded]},
    )
    on_night, on_day = seen.boxes
    empty = np.zeros((96, 128, 3), np.uint8)
    night, day = _drawn(empty, on_night), _drawn(empty, on_day)
    assert tuple(night[10, 20]) == tuple(day[10, 20]) == BOTH
    assert tuple(night[10, 70]) == ALONE
    assert tuple(day[60, 20]) == UNFOUNDED
    assert day[75, 25].any()  # crossed out
    assert not night[25, 25].any()
