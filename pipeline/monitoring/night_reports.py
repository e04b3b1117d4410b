"""What happened in a camera's last nights: a JSON file for each, and its first and last picture before and after."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..core.atomic_file import write_atomically
from ..core.clock import Clock
from ..core.counters import StatsSnapshot
from ..core.event_log import level_of, name_of, to_log
from ..core.events import Event, Publish, TrackChanged
from ..core.fault_log import FaultLog
from ..core.faults import detail_of
from ..core.status import CameraStatus, NewestPicture, Watched
from ..core.words import counted
from .web.pictures import snapshot_jpeg

# Nights of each camera that are kept.
KEPT = 14
# Seconds after which the report of the night under way is written anew.
WRITE_EVERY = 300.0
# Seconds between two looks, beyond which what lay between does not count as night.
LONGEST_LOOK = 60.0
# Columns of a picture.
WIDEST = 1280
PICTURES = ("first", "last")


@dataclass(slots=True)
class _Night:
    """A night under way: what its file holds, and what the next look compares with."""

    facts: dict[str, Any]
    folder: Path
    seen_at: float
    before: StatsSnapshot
    written_at: float
    problems: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    last: NewestPicture | None = None


class NightReports:
    """Keeps a report of each camera's night; ``note`` is to be subscribed to the run's events.

    ``look`` is called every few seconds, by one thread at a time, which a slow disk may hold up. What a night gate
    tells is a night; from noon to noon, by this machine's time zone, all of it is one, also over a restart.

    Args:
        watched: the cameras.
        clock: time.
        publish: told of reports that cannot be written.
    """

    def __init__(self, watched: Watched, *, clock: Clock, publish: Publish = to_log) -> None:
        self._watched = watched
        self._clock = clock
        self._publish = publish
        # Held for moments only, and never while a file is written.
        self._lock = threading.Lock()
        self._nights: dict[str, _Night] = {}
        self._faults: dict[str, FaultLog] = {}

    def note(self, event: Event) -> None:
        """Count a problem of a camera that has night, or an object that has come and gone. Any thread may call it."""
        if event.camera is None:
            return
        with self._lock:
            night = self._nights.get(event.camera)
            if night is None:
                return
            if level_of(event) >= logging.WARNING:
                night.problems[name_of(event)] += 1
            if isinstance(event, TrackChanged) and event.step == "gone":
                night.objects[event.view] += 1

    def look(self, *, final: bool = False) -> None:
        """Look at each camera, and write what is due; ``final`` says that the cameras end."""
        cameras = {camera.name: camera for camera in self._watched.cameras()}
        for name in [*cameras, *(set(self._nights) - set(cameras))]:
            faults = self._faults.setdefault(name, FaultLog(name, self._publish))
            try:
                self._look(name, cameras.get(name), final=final)
                faults.end("report")
            except (OSError, ValueError, KeyError) as error:
                faults.begin("report", "save_failed", f"cannot write the night's report: {detail_of(error)}")

    def _look(self, name: str, camera: CameraStatus | None, *, final: bool) -> None:
        now, monotonic = self._clock.time(), self._clock.monotonic()
        night = self._nights.get(name)
        if camera is None or not camera.night:
            if night is not None:
                self._end(name, night)
            return
        evening = (datetime.fromtimestamp(now) - timedelta(hours=12)).date().isoformat()
        if night is None or night.facts["night"] != evening:
            if night is not None:
                self._end(name, night)
            night = _begin(self._watched.report_folder(name), evening, camera.stats, now, monotonic)
            with self._lock:
                self._nights[name] = night
        newest = self._watched.newest(name)
        if newest is not None and newest.shown is not newest.seen:
            night.last = newest
            first = night.folder / f"{evening}-first.jpg"
            if not first.exists():
                write_atomically(first, [snapshot_jpeg(newest, "pair", widest=WIDEST)])
        _add(night, camera, now, monotonic)
        if final or monotonic - night.written_at >= WRITE_EVERY:
            night.written_at = monotonic
            self._put(night)

    def _end(self, name: str, night: _Night) -> None:
        with self._lock:
            del self._nights[name]
        night.facts["ended"] = True
        self._put(night)

    def _put(self, night: _Night) -> None:
        with self._lock:
            night.facts["problems"] = dict(night.problems)
            if night.facts["objects"] is not None:
                night.facts["objects"] = dict(night.objects)
        _write(night)


def reports_of(folder: Path) -> list[dict[str, Any]]:
    """The reports in a camera's folder, the newest first, with the names of their pictures; none that is damaged.

    Raises OSError where the folder cannot be read; one that is not there holds none.
    """
    found = []
    for path in _files(folder)[:KEPT]:
        with suppress(ValueError, FileNotFoundError):
            report = json.loads(path.read_text())
            if isinstance(report, dict):
                pictures = [name for name in PICTURES if (folder / f"{path.stem}-{name}.jpg").is_file()]
                found.append({**report, "night": path.stem, "pictures": pictures})
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("????-??-??.json"), reverse=True)


def _begin(folder: Path, evening: str, stats: StatsSnapshot, now: float, monotonic: float) -> _Night:
    """A night from now on, or what a run before has written of it."""
    facts: dict[str, Any] = {
        "night": evening,
        "began": now,
        "until": now,
        "minutes": 0.0,
        "translated": 0,
        "brightened": 0,
        "dropped": 0,
        "remembered_share": None,
        "unclear_share": None,
        "looks": 0,
        "objects": None,
        "problems": {},
    }
    with suppress(OSError, ValueError, TypeError):
        facts |= json.loads((folder / f"{evening}.json").read_text())
    facts["ended"] = False
    return _Night(
        facts,
        folder,
        seen_at=monotonic,
        before=stats,
        written_at=float("-inf"),
        problems=Counter(facts["problems"]),
        objects=Counter(facts["objects"] or {}),
    )


def _add(night: _Night, camera: CameraStatus, now: float, monotonic: float) -> None:
    """Add what has happened since the look before."""
    facts, stats, before = night.facts, camera.stats, night.before
    facts["until"] = now
    facts["minutes"] += min(monotonic - night.seen_at, LONGEST_LOOK) / 60
    # A camera that is made anew counts from 0 again.
    facts["translated"] += max(0, stats.translated - before.translated)
    facts["brightened"] += max(0, stats.brightened - before.brightened)
    facts["dropped"] += max(0, sum(stats.dropped.values()) - sum(before.dropped.values()))
    if stats.remembered is not None and stats.unclear is not None and stats.translated > before.translated:
        looks = facts["looks"]
        for name, share in (("remembered_share", stats.remembered), ("unclear_share", stats.unclear)):
            facts[name] = ((facts[name] or 0.0) * looks + share) / (looks + 1)
        facts["looks"] = looks + 1
    if stats.found.tracks_now is not None and facts["objects"] is None:
        facts["objects"] = {}
    night.before, night.seen_at = stats, monotonic


def _write(night: _Night) -> None:
    """Write the report and its last picture, and delete what is older than ``KEPT`` nights. Raises OSError."""
    facts = night.facts
    if night.last is not None:
        last = night.folder / f"{facts['night']}-last.jpg"
        write_atomically(last, [snapshot_jpeg(night.last, "pair", widest=WIDEST)])
        night.last = None
    write_atomically(night.folder / f"{facts['night']}.json", [json.dumps(facts).encode()])
    for old in _files(night.folder)[KEPT:]:
        for path in (old, *(old.with_name(f"{old.stem}-{name}.jpg") for name in PICTURES)):
            path.unlink(missing_ok=True)


def sentences(report: dict[str, Any]) -> Sequence[str]:
    """A report in words. Raises KeyError, TypeError or ValueError where it is none."""
    minutes = float(report["minutes"])
    long = f"{minutes / 60:.1f} h" if minutes >= 60 else f"{minutes:.0f} min"
    told = [
        f"{long} of night: {counted(report['translated'], 'picture')} translated, {report['brightened']} brightened, "
        f"{report['dropped']} dropped."
    ]
    if report["remembered_share"] is not None:
        remembered, unclear = (100 * float(report[f"{name}_share"]) for name in ("remembered", "unclear"))
        told.append(
            f"On average {remembered:.0f} % of a translated picture was remembered from the day, "
            f"and {unclear:.0f} % unclear."
        )
    if report["objects"] is not None:
        count = {view: int(report["objects"].get(view, 0)) for view in ("night", "both", "day")}
        told.append(
            f"{counted(sum(count.values()), 'object')} came and went: {count['both']} found on both views, "
            f"{count['night']} on the night alone, {count['day']} on the day view alone."
        )
    problems = ", ".join(f"{name.replace('_', ' ')} ({count})" for name, count in report["problems"].items())
    told.append(f"Problems: {problems or 'none'}.")
    return told
