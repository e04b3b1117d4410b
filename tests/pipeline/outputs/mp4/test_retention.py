"""Old recordings go, the oldest first, and nothing else ever does."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest

from nightday.pipeline.outputs.mp4.limits import Limits, retention_fault
from nightday.pipeline.outputs.mp4.recordings import recorded, unreadable_code
from nightday.pipeline.outputs.mp4.retention import DAY, GIGABYTE, Retention
from nightday.pipeline.outputs.mp4.writer import SegmentWriter
from tests.support.media_helpers import FakeClock, picture

NOW = 1_800_000_000.0
FRAME = 512


class Clock(FakeClock):
    def time(self) -> float:
        return NOW


def make(path: Path, *, age: float = 0.0, size: int = 10) -> Path:
    """A file of ``size`` bytes that was last changed ``age`` days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (NOW - age * DAY,) * 2)
    return path


def keep(template: Path, limits: Limits, **options: object) -> Retention:
    return Retention(template=template, limits=limits, camera="gate", clock=Clock(), **options)  # type: ignore[arg-type]


def there(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    old = make(tmp_path / "20260101-000000.mp4", age=7.01)
    young = make(tmp_path / "20260101-000001.mp4", age=6.99)
    keep(tmp_path / "%Y%m%d-%H%M%S.mp4", Limits(days=7)).sweep()
    assert not old.exists()
    assert young.exists()


def test_the_oldest_go_until_the_rest_is_small_enough(tmp_path: Path) -> None:
    """Against a plain reckoning: the newest files that fit together stay, the next older one and all before go."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ages = rng.sample(range(1000), 60)
    names = [time.strftime("%Y%m%d-%H%M%S.mp4", time.localtime(number * 977)) for number in range(60)]
    files = [
        make(tmp_path / name, age=age, size=rng.randrange(1, 5000))
        for name, age in zip(names, ages, strict=True)
    ]
    newest_first = [path for _, path in sorted(zip(ages, files, strict=True))]
    limit = rng.randrange(20_000, 120_000)
    sums = accumulate(path.stat().st_size for path in newest_first)
    stay = {path for path, total in zip(newest_first, sums, strict=True) if total <= limit}
    keep(tmp_path / "%Y%m%d-%H%M%S.mp4", Limits(gigabytes=limit / GIGABYTE)).sweep()
    assert {path for path in files if path.exists()} == stay


def test_only_names_the_template_could_have_written_go(tmp_path: Path) -> None:
    ours = [
        "2026/02/28/20260228-235959.mp4",
        "2026/02/28/20260228-235959-1.mp4",
        "2026/02/28/20260228-235959-9999.mp4",
    ]
    others = [
        "2026/02/28/20260227-235959.mp4",  # another day than its folder
        "2026/02/30/20260230-000000.mp4",  # no such day
        "2026/02/28/20260228-245959.mp4",  # no such hour
        "2026/02/28/20260228-235959-0.mp4",
        "2026/02/28/20260228-235959-01.mp4",
        "2026/02/28/20260228-235959-10000.mp4",
        "2026/02/28/20260228-235959 (copy).mp4",
        "2026/02/28/20260228-235959.mp4.bak",
        "2026/02/28/20260228-235959.MP4",
        "2026/02/28/x20260228-235959.mp4",
        "2026/02/28/２0260228-235959.mp4",  # a digit, but not strftime's
        "2026/02/28/holiday.mp4",
        "2026/02/28/deeper/20260228-235959.mp4",
        "2026/2/28/20260228-235959.mp4",
        "20260228-235959.mp4",
        "holiday/02/28/20260228-235959.mp4",
    ]
    for name in ours + others:
        make(tmp_path / name, age=100)
    template = tmp_path / "%Y/%m/%d/%Y%m%d-%H%M%S.mp4"
    keep(template, Limits(days=1, gigabytes=1e-9)).sweep()
    assert {name for name in ours + others if (tmp_path / name).exists()} == set(others)


@pytest.mark.parametrize(
    "template",
    [
        "%Y%m%d-%H%M%S.mp4",
        "%F/%T.mp4",
        "%y/%j/%I%p.mp4",
        "%d %B %Y/%a %H.mp4",
        "100%%/%b-%S.mp4",
        "plain.mp4",
        "%H.%M.mp4",
    ],
)
def test_what_is_recorded_is_recognised(tmp_path: Path, template: str) -> None:
    """Whatever the writer names a file, at random times, is read back."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    path = tmp_path / "out 100%%" / template
    for _ in range(5):
        writer = SegmentWriter(template=str(path))
        writer.write(picture(0, wall_time=rng.uniform(0, 2**32)))
        writer.close()
    files = {found for found in tmp_path.rglob("*") if found.is_file()}
    assert len(files) == 5
    assert {found.path for found in recorded(path)} == files
    assert {found.size for found in recorded(path)} == {found.stat().st_size for found in files}


def test_folders_that_got_empty_go_up_to_the_first_dated_one(tmp_path: Path) -> None:
    make(tmp_path / "out/gate/2026/01/x-01.mp4", age=9)
    make(tmp_path / "out/gate/2026/02/x-02.mp4", age=9)
    make(tmp_path / "out/gate/2026/02/notes.txt", age=9)
    make(tmp_path / "out/gate/2025/12/x-31.mp4", age=9)
    (tmp_path / "out/gate/2024").mkdir()  # nothing of it was deleted: who knows whose it is
    keep(tmp_path / "out/gate/%Y/%m/x-%d.mp4", Limits(days=7)).sweep()
    assert there(tmp_path / "out") == [
        "gate",
        "gate/2024",
        "gate/2026",
        "gate/2026/02",
        "gate/2026/02/notes.txt",
    ]


def test_links_are_not_followed_and_not_deleted(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside/01-01.mp4", age=100)
    deeper = make(tmp_path / "outside/02/02-01.mp4", age=100)
    out = tmp_path / "out"
    (out / "03").mkdir(parents=True)
    (out / "01").symlink_to(outside.parent)
    (out / "02").symlink_to(deeper.parent)
    (out / "03/03-01.mp4").symlink_to(outside)
    keep(out / "%m/%m-%d.mp4", Limits(days=1, gigabytes=1e-9)).sweep()
    assert outside.exists()
    assert deeper.exists()
    assert there(out) == ["01", "02", "03", "03/03-01.mp4"]


def test_a_folder_that_is_a_link_by_the_users_choice_is_used(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    old = make(tmp_path / "out/01.mp4", age=100)
    keep(tmp_path / "out/%d.mp4", Limits(days=1)).sweep()
    assert not old.exists()


def test_one_line_for_a_sweep_that_deleted_and_none_for_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    retention = keep(tmp_path / "%d.mp4", Limits(days=1))
    retention.sweep()
    assert caplog.records == []
    for day in range(1, 6):
        make(tmp_path / f"{day:02}.mp4", age=100, size=1_000_000)
    retention.sweep()
    retention.sweep()
    assert [record.getMessage() for record in caplog.records] == [
        f"gate: deleted the oldest 5 files (5.0 MB) of {tmp_path}/%d.mp4"
    ]
    record = caplog.records[0]
    assert (record.event, record.files, record.bytes) == ("retention", 5, 5_000_000)  # type: ignore[attr-defined]


def test_a_delete_that_fails_is_said_once_and_the_next_oldest_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = make(tmp_path / "01.mp4", age=9, size=600)
    next_oldest = make(tmp_path / "02.mp4", age=8, size=600)
    newest = make(tmp_path / "03.mp4", age=7, size=600)
    unlink: Callable[[Path], None] = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(1, "Operation not permitted")
        unlink(path)

    monkeypatch.setattr(Path, "unlink", refused)
    retention = keep(tmp_path / "%d.mp4", Limits(gigabytes=1300 / GIGABYTE))
    for _ in range(3):
        retention.sweep()
    assert stuck.exists()
    assert not next_oldest.exists()
    assert newest.exists()
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.event for record in warnings] == ["retention_failed"]  # type: ignore[attr-defined]
    assert "01.mp4" in warnings[0].getMessage()


def test_the_writer_sweeps_at_the_start_and_after_each_file_but_never_takes_the_open_one(
    tmp_path: Path,
) -> None:
    before = make(tmp_path / "19700101-000000.mp4", age=100)
    template = tmp_path / "%Y%m%d-%H%M%S.mp4"
    retention = Retention(template=template, limits=Limits(gigabytes=1e-9), camera="gate")
    writer = SegmentWriter(template=str(template), segment_seconds=2, retention=retention)
    writer.idle(0.0)
    assert not before.exists()
    for number in range(130):
        writer.write(picture(number * FRAME, wall_time=NOW + number / 25))
        assert len(list(tmp_path.iterdir())) == 1, "the file being written stays, and those before are gone"
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_on_a_full_disk_the_oldest_go_until_there_is_room(tmp_path: Path) -> None:
    for day in range(1, 10):
        make(tmp_path / f"{day:02}.mp4", age=20 - day, size=1000)
    free = iter([10**6, 10**7, 10**8])  # after each that is deleted
    retention = keep(tmp_path / "%d.mp4", Limits(days=1000), space=lambda _folder: (next(free), 10**12))
    assert not retention.make_room(OSError(5, "Input/output error"))
    assert retention.make_room(OSError(28, "No space left on device"))
    assert there(tmp_path) == [f"{day:02}.mp4" for day in range(4, 10)]


def test_on_a_full_disk_with_nothing_of_ours_there_is_nothing_to_gain(tmp_path: Path) -> None:
    make(tmp_path / "holiday.mp4", age=1000)
    assert not keep(tmp_path / "%d.mp4", Limits(days=1)).make_room(OSError(28, "No space left on device"))
    assert there(tmp_path) == ["holiday.mp4"]


@pytest.mark.parametrize("code", ["%s", "%-d", "%U", "%e", "%c"])
def test_a_template_that_cannot_be_read_back_is_refused(code: str) -> None:
    template = Path(f"out/%Y/{code}.mp4")
    assert unreadable_code(template) == code
    assert code in (retention_fault(template) or "")
    with pytest.raises(ValueError, match="cannot read"):
        keep(template, Limits(days=1))
