"""When a camera has pictures enough for a round of learning, and which of them are kept back from training.

The newest night is kept back whole, and the newest days, because neighbouring pictures are nearly alike.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.atomic_file import write_atomically
from ..core.words import counted
from ..scene.training_pictures import picture_path, picture_seconds

# Nights are apart if no picture by night was taken for so many seconds.
NIGHT_GAP = 3 * 3600.0
# Pictures needed: by day, of the nights that are trained on, and of the night that is kept back.
LEAST_DAY, LEAST_NIGHT, LEAST_HELD = 50, 12, 8
# Share of the days that is kept back, at most so many pictures.
HELD_SHARE, MOST_HELD = 0.15, 24
# Seconds for which a night must have been over, to be whole.
NIGHT_OVER = 3600.0

PLAN, PICTURES, HELD, RUN, JUDGEMENT = "round.json", "pictures", "held", "run", "judgement.json"


@dataclass(frozen=True, slots=True)
class Taken:
    """Pictures for a round, Unix seconds each.

    Attributes:
        day, night: to be trained on.
        held_day, held_night: kept back.
    """

    day: tuple[int, ...]
    night: tuple[int, ...]
    held_day: tuple[int, ...]
    held_night: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """What a round still needs.

    Attributes:
        share: of what is needed that is there, 0 to 1.
        text: what is missing, in a few words.
    """

    share: float
    text: str


def nights_of(seconds: Sequence[int]) -> list[list[int]]:
    """The pictures by night, in one list for each night; ``seconds`` rise."""
    nights: list[list[int]] = []
    for second in seconds:
        if nights and second - nights[-1][-1] < NIGHT_GAP:
            nights[-1].append(second)
        else:
            nights.append([second])
    return nights


def choose(day: Sequence[int], night: Sequence[int], *, now: float) -> Taken | Missing:
    """What of the pictures there are goes into a round, or what is missing.

    Args:
        day, night: Unix seconds of the pictures, rising.
        now: Unix seconds.
    """
    whole = [one for one in nights_of(night) if now - one[-1] >= NIGHT_OVER]
    # A night of few pictures, of a run that was ended soon, is trained on like the others.
    fit = [at for at, one in enumerate(whole) if len(one) >= LEAST_HELD]
    held_at = fit[-1] if fit else None
    held = whole[held_at] if held_at is not None else []
    trained = [second for at, one in enumerate(whole) if at != held_at for second in one]
    if len(day) >= LEAST_DAY and held and len(trained) >= LEAST_NIGHT:
        count = min(MOST_HELD, int(HELD_SHARE * len(day)))
        return Taken(tuple(day[:-count]), tuple(trained), tuple(day[-count:]), tuple(held))
    return _missing(len(day), len(trained), bool(held))


def _missing(day: int, trained: int, held: bool) -> Missing:
    parts = []
    if day < LEAST_DAY:
        parts.append(f"{counted(LEAST_DAY - day, 'picture')} by day")
    nights = (not held) + (trained < LEAST_NIGHT)
    if nights:
        parts.append("one more night" if nights == 1 else "two nights")
    share = min(1.0, day / LEAST_DAY) / 3 + (held + min(1.0, trained / LEAST_NIGHT)) / 3
    return Missing(share, " and ".join(parts))


def seconds_of(pictures: Path, *, since: float) -> tuple[list[int], list[int]]:
    """Unix seconds of the pictures by day and by night that were taken since then, rising."""
    day, night = (picture_seconds(pictures / time) for time in ("day", "night"))
    return [one for one in day if one >= since], [one for one in night if one >= since]


def begin(round_folder: Path, pictures: Path, taken: Taken, *, plan: dict[str, Any]) -> None:
    """Keep the pictures of a round in its folder, as links where the disk can have them. Raises OSError.

    The collection goes on and pictures are deleted from it. ``plan`` is written last: without it there is no round.
    """
    shutil.rmtree(round_folder, ignore_errors=True)
    parts = (
        (PICTURES, "day", taken.day),
        (PICTURES, "night", taken.night),
        (HELD, "day", taken.held_day),
        (HELD, "night", taken.held_night),
    )
    for part, time, seconds in parts:
        folder = round_folder / part / time
        folder.mkdir(parents=True)
        for second in seconds:
            _link(picture_path(pictures / time, second), folder)
    write_atomically(round_folder / PLAN, [json.dumps(plan).encode()], durable=True)


def plan_of(round_folder: Path) -> dict[str, Any] | None:
    """The plan of the round under way; None where there is none, or none that was begun whole."""
    return _read_json(round_folder / PLAN)


def judgement_of(round_folder: Path) -> dict[str, Any] | None:
    """What the judges said; None before."""
    return _read_json(round_folder / JUDGEMENT)


def progress_of(round_folder: Path, steps: int) -> tuple[float, float | None]:
    """How far training is, 0 to 1, and the seconds left, if that can be told."""
    try:
        last = (round_folder / RUN / "log.jsonl").read_text().splitlines()[-1]
        line = json.loads(last)
        step, seconds = int(line["step"]), float(line["seconds"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return 0.0, None
    return min(1.0, step / steps), max(0, steps - step) * seconds / max(1, step)


def _link(path: Path, folder: Path) -> None:
    try:
        os.link(path.resolve(strict=True), folder / path.name)
    except FileNotFoundError:  # deleted meanwhile
        return
    except OSError:  # another disk, or one that has no links
        shutil.copyfile(path, folder / path.name)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
