"""When a round of learning begins, and what is kept back from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from nightday.pipeline.learning import rounds
from nightday.pipeline.scene.training_pictures import picture_path

DAY = 86_400


def week(rng: np.random.Generator, days: int) -> tuple[list[int], list[int]]:
    """Unix seconds of pictures by day (8 to 18 o'clock) and by night (20 to 6), with some left out."""
    day: list[int] = []
    night: list[int] = []
    for number in range(days):
        start = 1_780_000_000 // DAY * DAY + number * DAY
        for kind, first, hours in ((day, 8, 10), (night, 20, 10)):
            times = start + first * 3600 + np.arange(0, hours * 3600, 600)
            kind += [int(second) for second in times[rng.random(len(times)) > 0.3]]
    return day, night


def test_what_is_kept_back_is_the_newest_night_and_the_newest_days(rng: np.random.Generator) -> None:
    days = int(rng.integers(3, 12))
    day, night = week(rng, days)
    now = night[-1] + rounds.NIGHT_OVER + 1
    taken = rounds.choose(day, night, now=now)
    assert isinstance(taken, rounds.Taken)
    assert sorted(taken.day + taken.held_day) == day
    assert sorted(taken.night + taken.held_night) == night
    assert min(taken.held_day) > max(taken.day)
    # Hours apart, and not of one night.
    assert min(taken.held_night) - max(taken.night) > rounds.NIGHT_GAP
    assert max(taken.held_night) - min(taken.held_night) < 12 * 3600
    assert len(taken.held_day) <= rounds.MOST_HELD


def test_a_night_that_is_not_over_is_not_taken(rng: np.random.Generator) -> None:
    day, night = week(rng, 4)
    half = [second for second in night if second < night[-1] - 4 * 3600]
    taken = rounds.choose(day, half, now=half[-1] + 60)
    assert isinstance(taken, rounds.Taken)
    last = rounds.nights_of(half)[-1]
    assert not set(last) & {*taken.night, *taken.held_night}


@pytest.mark.parametrize(
    ("days", "nights", "words"),
    [
        (0, 0, "50 pictures by day and two nights"),
        (60, 0, "two nights"),
        (60, 1, "one more night"),
        (20, 2, "30 pictures by day"),
    ],
)
def test_what_is_missing_is_told(days: int, nights: int, words: str) -> None:
    start = 1_780_000_000
    day = [start + 60 * number for number in range(days)]
    night = [start + DAY * (one + 1) + 600 * number for one in range(nights) for number in range(30)]
    missing = rounds.choose(day, night, now=start + 9 * DAY)
    assert isinstance(missing, rounds.Missing)
    assert missing.text == words
    assert 0 <= missing.share < 1


def test_more_pictures_are_never_less_progress(rng: np.random.Generator) -> None:
    day, night = week(rng, 3)
    shares = []
    for upto in range(0, len(day) + 1, 10):
        found = rounds.choose(day[:upto], night[: 2 * upto], now=night[-1] + DAY)
        shares.append(1.0 if isinstance(found, rounds.Taken) else found.share)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_pictures_of_a_round_stay_when_the_collection_deletes_them(tmp_path: Path) -> None:
    pictures, folder = tmp_path / "pictures", tmp_path / "round"
    taken = rounds.Taken((1000, 2000), (5000,), (3000,), (9000,))
    for kind, seconds in (("day", (1000, 2000, 3000)), ("night", (5000, 9000))):
        (pictures / kind).mkdir(parents=True)
        for second in seconds:
            picture_path(pictures / kind, second).write_bytes(b"%d" % second)
    picture_path(pictures / "day", 2000).unlink()  # since it was listed
    rounds.begin(folder, pictures, taken, plan={"number": 7})
    for kind in ("day", "night"):
        for path in (pictures / kind).iterdir():
            path.unlink()
    kept = {str(path.relative_to(folder).parent): path.read_bytes() for path in folder.rglob("*.jpg")}
    assert kept == {
        "pictures/day": b"1000",
        "held/day": b"3000",
        "pictures/night": b"5000",
        "held/night": b"9000",
    }
    assert rounds.plan_of(folder) == {"number": 7}


def test_a_disk_without_links_has_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    pictures = tmp_path / "pictures"
    (pictures / "day").mkdir(parents=True)
    picture_path(pictures / "day", 1000).write_bytes(b"picture")
    rounds.begin(tmp_path / "round", pictures, rounds.Taken((1000,), (), (), ()), plan={})
    (copy,) = (tmp_path / "round" / "pictures" / "day").iterdir()
    assert copy.read_bytes() == b"picture"


def test_progress_is_read_from_the_log_of_the_run(tmp_path: Path) -> None:
    assert rounds.progress_of(tmp_path, 100) == (0.0, None)
    (tmp_path / "run").mkdir()
    log = tmp_path / "run" / "log.jsonl"
    log.write_text(json.dumps({"step": 25, "seconds": 50.0}) + "\n")
    assert rounds.progress_of(tmp_path, 100) == (0.25, 150.0)
    log.write_text('{"step": 25, "sec')  # being written
    assert rounds.progress_of(tmp_path, 100) == (0.0, None)
