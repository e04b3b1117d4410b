"""What a folder holds of a camera's nights: the moments that are looked at, night by night."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from ...footage.even_sample import Progress
from ...footage.evidence import LEAST_NIGHTS
from ...footage.files import footage_files, is_picture, part_files
from ...footage.scene import Image, SceneError, read_picture, spread
from .recordings import KEY_SECONDS, Recording, key_frame, read_pair, read_recording

# Day pictures that x_ref is the median of.
DAY_PICTURES = 61
# Mean difference of both halves of a pair, grey levels, up to which they are the same picture, encoded twice.
SAME = 3.0
# As ``collect`` names its pictures, by their time in UTC: 20260102-030405Z. The Z and the seconds may be left out.
_TIME = re.compile(r"(20\d\d)-?(\d\d)-?(\d\d)[-_T]?(\d\d)-?(\d\d)(?:-?(\d\d))?")


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of a night: a picture of the night, or a place in a recording of both views.

    Attributes:
        path: the file.
        at: when it was, Unix seconds; None where nothing tells.
        seconds: in a recording, the time in the file; None for a picture.
        generated: whether its day view was recorded, and a model made it.
    """

    path: Path
    at: float | None
    seconds: float | None = None
    generated: bool = False

    def pair(self) -> tuple[Image, Image | None]:
        """The night, and the day view where it was recorded. Raises SceneError where it cannot be read."""
        if self.seconds is None:
            return read_picture(self.path), None
        return read_pair(self.path, self.seconds)


@dataclass(frozen=True, slots=True)
class Night:
    """The moments of one night in the order of time.

    Attributes:
        date: of its evening; None where the files tell no time.
        moments: at least ``LEAST_NIGHTS``.
        recorded: whether the day view was recorded; else a model has to make it.
    """

    date: date | None
    moments: list[Moment]
    recorded: bool

    @property
    def title(self) -> str:
        """ "30 November to 1 December 2026"."""
        if self.date is None:
            return "Pictures that tell no time"
        morning = self.date + timedelta(days=1)
        return f"{self.date.day} {self.date:%B} to {morning.day} {morning:%B %Y}"


@dataclass(slots=True)
class Week:
    """What was found.

    Attributes:
        nights: in the order of time.
        day: moments by day, for x_ref.
        left_out: a line for each thing that could not be used.
        not_generated: pictures of recordings that no model made: by day, or brightened.
    """

    nights: list[Night]
    day: list[Moment]
    left_out: list[str] = field(default_factory=list)
    not_generated: int = 0


def find_week(folder: Path, *, most: int, progress: Progress = lambda _done, _of: None) -> Week:
    """Find the nights in ``folder``: recordings with ``view: pair``, and pictures in day/ and night/.

    A night lasts from noon to noon, by this machine's time zone. Where a night is in recordings its pictures are not
    looked at, since the day view was recorded.

    Args:
        folder: of one camera.
        most: the most moments of a night, evenly spread.
        progress: told how many files and places of recordings have been passed.

    Raises:
        SceneError: there is no such folder, or no night in it.
        OSError: a folder in it cannot be read.
    """
    if not folder.is_dir():
        raise SceneError(
            f"{folder}: no such folder; give one with recordings of view: pair, or with day/ and night/"
        )
    week = Week([], [])
    recorded = _recorded(folder, week, most, progress)
    taken = _taken(part_files(folder, "night"))
    for key in sorted({*recorded, *taken}, key=lambda each: each or date.min):
        moments = recorded.get(key) or spread(taken.get(key, []), most)
        night = Night(key, moments, recorded=key in recorded)
        if len(moments) < LEAST_NIGHTS:
            week.left_out.append(
                f"{night.title}: {len(moments)} moments are too few to know the empty place by night; "
                f"{LEAST_NIGHTS} are needed"
            )
        else:
            week.nights.append(night)
    pictures = [Moment(path, _time_of(path)) for path in part_files(folder, "day") if is_picture(path)]
    week.day = spread(pictures or week.day, DAY_PICTURES)
    if not week.nights:
        why = f"; {week.left_out[0]}" if week.left_out else ""
        raise SceneError(
            f"{folder}: no night in it; it takes recordings with view: pair, or pictures in night/ as collect "
            f"writes them{why}"
        )
    return week


def readable(moments: Sequence[Moment], left_out: list[str]) -> Iterator[tuple[Moment, Image, Image | None]]:
    """The moments with their pictures; one that cannot be read, or is of another size, is told in ``left_out``."""
    shape: tuple[int, ...] | None = None
    for moment in moments:
        try:
            night, day = moment.pair()
        except SceneError as error:
            fault = str(error)
        else:
            shape = shape or night.shape
            if night.shape == shape:
                yield moment, night, day
                continue
            fault = (
                f"{moment.path}: {night.shape[1]}×{night.shape[0]}, but others of its night are "
                f"{shape[1]}×{shape[0]}; it is left out"
            )
        _note(left_out, fault)


def day_pictures(moments: Sequence[Moment], left_out: list[str]) -> list[Image]:
    """The pictures of moments by day. Of recordings those are left out whose halves are not the same picture."""
    found = []
    for _, picture, view in readable(moments, left_out):
        if view is None or np.abs(picture.astype(np.int16) - view).mean() <= SAME:
            found.append(picture)
    return found


def _recorded(folder: Path, week: Week, most: int, progress: Progress) -> dict[date | None, list[Moment]]:
    """The moments of each night that is in recordings. Those by day are added to ``week``."""
    places: dict[date, list[tuple[float, Recording, float]]] = defaultdict(list)
    files = [path for path in footage_files(folder) if not is_picture(path)]
    for done, path in enumerate(files):
        progress(done, len(files))
        try:
            recording = read_recording(path)
        except SceneError as error:
            _note(week.left_out, str(error))
            continue
        for seconds in np.arange(0.0, max(recording.seconds, KEY_SECONDS), KEY_SECONDS).tolist():
            at = recording.began + seconds
            places[_night_of(at)].append((at, recording, seconds))
    # As many of a night's pictures may be by day.
    looked_at = {key: spread(sorted(each, key=lambda p: p[0]), 2 * most) for key, each in places.items()}
    nights: dict[date | None, list[Moment]] = {}
    done, every = 0, sum(map(len, looked_at.values()))
    for key, each in looked_at.items():
        found: dict[tuple[Path, float], Moment] = {}
        for _, recording, seconds in each:
            done += 1
            progress(done, every)
            _add_place(found, recording, seconds, week)
        generated = [moment for moment in found.values() if moment.generated]
        others = [moment for moment in found.values() if not moment.generated]
        week.day += others
        week.not_generated += len(others)
        if generated:
            nights[key] = spread(generated, most)
    return nights


def _add_place(
    found: dict[tuple[Path, float], Moment], recording: Recording, seconds: float, week: Week
) -> None:
    """Add the key frame before a place in a recording, unless it is there already."""
    try:
        frame = key_frame(recording.path, seconds)
    except SceneError as error:
        _note(week.left_out, str(error))
        return
    if frame is not None:
        at = recording.began + frame.seconds
        moment = Moment(recording.path, at, frame.seconds, generated=frame.generated)
        found[recording.path, frame.seconds] = moment


def _note(left_out: list[str], fault: str) -> None:
    if fault not in left_out:
        left_out.append(fault)


def _taken(paths: Sequence[Path]) -> dict[date | None, list[Moment]]:
    nights: dict[date | None, list[Moment]] = defaultdict(list)
    for path in paths:
        if is_picture(path):
            at = _time_of(path)
            nights[None if at is None else _night_of(at)].append(Moment(path, at))
    for moments in nights.values():
        moments.sort(key=lambda moment: (moment.at or 0.0, moment.path))
    return nights


def _time_of(path: Path) -> float | None:
    """A picture's time by its name, in UTC; None where it tells none."""
    found = _TIME.search(path.stem)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups("0"))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def _night_of(at: float) -> date:
    """The date of the evening of the night, noon to noon, that a time is in."""
    return (datetime.fromtimestamp(at) - timedelta(hours=12)).date()
