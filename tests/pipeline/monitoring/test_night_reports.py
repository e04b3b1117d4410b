"""Reports of nights: what is counted, what is kept over a restart, and what is deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.events import NightChanged, Notice, TrackChanged
from nightday.pipeline.core.status import CameraStatus, NewestPicture
from nightday.pipeline.monitoring.night_reports import KEPT, NightReports, reports_of, sentences
from tests.support.media_helpers import Events, FakeClock
from tests.support.watched import FakeRun

# 2026-01-10 18:00 UTC.
DUSK = 1_768_068_000.0


class Run(FakeRun):
    """A run whose counters are set."""

    counted: dict[str, Any]

    def cameras(self) -> list[CameraStatus]:
        return [replace(one, stats=replace(one.stats, **self.counted)) for one in super().cameras()]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Setting:
    """A camera, its reports, and time that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.now = 0.0
        self.clock.time = lambda: DUSK + self.now  # type: ignore[method-assign]
        self.clock.monotonic = lambda: self.now  # type: ignore[method-assign]
        self.run = Run(stats={"gate": CameraStats()}, reports={"gate": folder})
        self.run.counted = {}
        self.events = Events()
        self.restart()
        self.picture(60)

    def restart(self) -> None:
        self.reports = NightReports(self.run, clock=self.clock, publish=self.events)

    def picture(self, grey: int) -> None:
        seen, shown = np.full((40, 60, 3), grey, np.uint8), np.full((40, 60, 3), 200, np.uint8)
        self.run.pictures["gate"] = NewestPicture(seen, shown, Fraction(1), DUSK + self.now)

    def passes(self, seconds: int, *, night: bool, **counted: Any) -> None:
        """Time, with a look every ten seconds."""
        self.run.states["gate"] = {"night": night}
        self.run.counted |= counted
        for _ in range(seconds // 10):
            self.reports.look()
            self.now += 10
        self.reports.look()

    def report(self) -> dict[str, Any]:
        return reports_of(self.folder)[0]


def went(view: Any) -> TrackChanged:
    return TrackChanged(camera="gate", step="gone", track=1, label="car", confidence=0.9, view=view, at=DUSK)


def test_a_night_is_told_from_dusk_to_dawn(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.passes(60, night=False, translated=7)
    assert not list(tmp_path.iterdir())
    setting.passes(0, night=True)
    for view in ("night", "both", "both", "day"):
        setting.reports.note(went(view))
    setting.reports.note(Notice(camera="gate", name="save_failed", detail="", level="warning"))
    setting.reports.note(Notice(camera="gate", name="save_failed", detail="", level="info"))
    setting.reports.note(NightChanged(camera="gate", night=True, luma=1, chroma=1))
    found = replace(CameraStats().snapshot().found, tracks_now=0)
    counted = {"brightened": 5, "dropped": {"stale": 2, "overload": 1}, "found": found}
    setting.passes(600, night=True, translated=107, remembered=0.8, unclear=0.1, **counted)
    assert setting.report()["ended"] is False
    setting.picture(30)
    setting.passes(600, night=True, translated=207, remembered=0.8, unclear=0.1)
    setting.passes(0, night=False, translated=300)
    report = setting.report()
    assert (report["night"], report["ended"]) == ("2026-01-10", True)
    assert report["minutes"] == pytest.approx(20)
    assert (report["translated"], report["brightened"], report["dropped"]) == (200, 5, 3)
    assert (report["remembered_share"], report["unclear_share"]) == pytest.approx((0.8, 0.1))
    assert report["objects"] == {"night": 1, "both": 2, "day": 1}
    assert report["problems"] == {"save_failed": 1}
    assert report["pictures"] == ["first", "last"]
    told = " ".join(sentences(report))
    assert "200 pictures translated, 5 brightened, 3 dropped" in told
    assert (
        "4 objects came and went: 2 found on both views, 1 on the night alone, 1 on the day view alone"
        in told
    )
    for which, grey in (("first", 60), ("last", 30)):
        pair = cv2.imread(str(tmp_path / f"2026-01-10-{which}.jpg"))
        assert pair is not None
        assert pair.shape == (40, 120, 3)
        assert abs(float(pair[:, :50].mean()) - grey) < 3
        assert abs(float(pair[:, 70:].mean()) - 200) < 3
    assert not setting.events


def test_a_restart_goes_on_with_the_same_night_and_the_next_night_is_another(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.passes(600, night=True, translated=0)
    setting.run.counted["translated"] = 50
    setting.reports.look(final=True)
    setting.restart()
    setting.passes(600, night=True, translated=80)
    setting.passes(0, night=False)
    (report,) = reports_of(tmp_path)
    assert (report["translated"], report["began"]) == (50, DUSK)
    assert report["minutes"] == pytest.approx(20)
    setting.now += 86_400
    setting.passes(10, night=True)
    setting.passes(0, night=False)
    assert [one["night"] for one in reports_of(tmp_path)] == ["2026-01-11", "2026-01-10"]


def test_a_fortnight_is_kept(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    for _ in range(KEPT + 2):
        setting.passes(10, night=True)
        setting.passes(0, night=False)
        setting.now += 86_400
    assert len(reports_of(tmp_path)) == KEPT
    assert len(list(tmp_path.iterdir())) == 3 * KEPT
    assert reports_of(tmp_path)[-1]["night"] == "2026-01-12"


def test_what_cannot_be_written_is_told_once_and_a_damaged_report_is_left_out(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    setting = Setting(blocked / "reports")
    setting.passes(60, night=True)
    (notice,) = setting.events
    assert (notice.name, notice.camera) == ("save_failed", "gate")
    (tmp_path / "2026-01-01.json").write_text("{")
    (tmp_path / "2026-01-02.json").write_text("[]")
    (tmp_path / "2026-01-03.json").write_text(json.dumps({"minutes": 1}))
    assert [one["night"] for one in reports_of(tmp_path)] == ["2026-01-03"]


def test_a_camera_that_is_gone_ends_its_night(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    setting.passes(20, night=True)
    setting.run.stats.clear()
    setting.reports.look()
    assert setting.report()["ended"] is True
