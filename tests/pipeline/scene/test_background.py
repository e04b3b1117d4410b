"""A camera's background: two medians, sampled, kept over restarts, and dropped with their scene."""

import logging
import os
from collections import deque
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.picture_files import save_png
from nightday.pipeline.scene import background as background_module
from nightday.pipeline.scene import background_checkpoint
from nightday.pipeline.scene.background import Background
from nightday.pipeline.scene.background_checkpoint import CHECKPOINT_EVERY
from nightday.pipeline.scene.background_file import (
    SavedBackground,
    SavedMedian,
    load_background,
    save_background,
)
from nightday.pipeline.scene.night_gate import TIMES_OF_DAY, TimeOfDay
from nightday.pipeline.scene.rolling_median import STRIPS
from nightday.pipeline.supervision.runtime import run
from tests.support.clips import make_clip
from tests.support.engines import EngineStub
from tests.support.media_helpers import FakeClock

Pixels = NDArray[np.uint8]


def reference(ring: deque[Pixels]) -> Pixels:
    return np.asarray(np.floor(np.median(np.stack(ring), axis=0) + 0.5), np.uint8)


def scene(rng: np.random.Generator, *, size: tuple[int, int] = (96, 128)) -> Pixels:
    """A picture with structure at all scales, unlike any other."""
    height, width = size
    layers = [
        cv2.resize(rng.uniform(0, 255, (max(height // n, 2), max(width // n, 2), 3)), (width, height))
        for n in (2, 4, 8, 16, 32)
    ]
    return np.asarray(np.clip(np.mean(layers, axis=0) * 2 - 128, 0, 255), np.uint8)


def made(path: Path | None = None, **options: object) -> Background:
    return Background(**({"camera": "gate", "frames": 5, "every": 1.0, "path": path} | options))  # type: ignore[arg-type]


def show(
    background: Background,
    view: Pixels,
    *,
    start: float,
    samples: int,
    time: TimeOfDay = "day",
    rng: np.random.Generator,
) -> deque[Pixels]:
    """Show noisy ``view``s for ``samples`` seconds at ``STRIPS`` frames a second; what was sampled."""
    ring: deque[Pixels] = deque(maxlen=5)
    for index in range(samples * STRIPS):
        noise = rng.integers(-3, 4, view.shape)
        picture = np.clip(view + noise, 0, 255).astype(np.uint8)
        background.observe(picture, time=time, seconds=start + index / STRIPS)
        if index % STRIPS == 0:
            ring.append(picture)
    return ring


def events(caplog: pytest.LogCaptureFixture, prefix: str = "background_") -> list[tuple[str, str]]:
    """The name and reason of each event logged."""
    found = [(getattr(record, "event", ""), getattr(record, "reason", "")) for record in caplog.records]
    return [event for event in found if event[0].startswith(prefix)]


def test_background_samples_by_the_cameras_clock(rng: np.random.Generator, tmp_path: Path) -> None:
    background = made(tmp_path / "new" / "bg.png", frames=3, every=2.0)
    assert not background.save()
    ring = deque[Pixels](maxlen=3)
    for index in range(250):  # 10 s at 25 fps: samples at 0, 2, 4, 6, 8 s
        picture = rng.integers(0, 256, (32, 24, 3), dtype=np.uint8)
        background.observe(picture, time="night", seconds=100 + index / 25)
        if index % 50 == 0:
            ring.append(picture)
    background.finish()
    assert background.picture is not None
    np.testing.assert_array_equal(background.picture, reference(ring))
    assert background.save()
    assert not background.save()  # nothing new
    saved = cv2.imread(str(tmp_path / "new" / "bg.png"))
    assert saved is not None
    np.testing.assert_array_equal(saved[..., ::-1], background.picture)
    assert os.listdir(tmp_path / "new") == ["bg.png"]


def test_a_sample_waits_until_the_one_before_is_worked_in(rng: np.random.Generator) -> None:
    background = made(frames=9, every=0.0)
    pictures = rng.integers(0, 256, (2 * STRIPS, 32, 24, 3), dtype=np.uint8)
    for index, picture in enumerate(pictures):
        background.observe(picture, time="day", seconds=index / 25)
    assert background.picture is not None
    np.testing.assert_array_equal(background.picture, reference(deque([pictures[0], pictures[STRIPS]])))


def test_day_and_night_are_kept_apart_and_the_picture_is_of_the_day(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    background = made(tmp_path / "bg.png")
    day = scene(rng)
    by_night = show(background, day // 4, start=0, samples=3, time="night", rng=rng)
    assert background.of("day") is None
    assert background.picture is background.of("night")
    by_day = show(background, day, start=100, samples=7, rng=rng)
    np.testing.assert_array_equal(background.of("day"), reference(by_day))
    np.testing.assert_array_equal(background.of("night"), reference(by_night))
    in_use = background.picture
    assert in_use is background.of("day")
    show(background, day // 4, start=200, samples=3, time="night", rng=rng)
    assert background.picture is in_use
    assert background.save()
    saved = cv2.imread(str(tmp_path / "bg.png"))
    assert saved is not None
    np.testing.assert_array_equal(saved[..., ::-1], reference(by_day))
    again = show(background, day, start=300, samples=1, rng=rng)
    np.testing.assert_array_equal(
        background.of("day"), reference(deque([reference(by_day)] * 5 + [*again], maxlen=5))
    )


def test_before_the_first_sample_by_night_the_days_median_is_shown(rng: np.random.Generator) -> None:
    background = made()
    view = scene(rng)
    show(background, view, start=0, samples=2, rng=rng)
    by_day = background.picture
    background.observe(view // 4, time="night", seconds=50)
    assert background.picture is by_day


def test_memory_is_bounded_through_days_and_nights(rng: np.random.Generator) -> None:
    background = made()
    assert background.nbytes == 0
    view, most = scene(rng), 0
    for change in range(6):
        for index in range(8 * STRIPS):
            seconds = 100 * change + index / STRIPS
            background.observe(view, time=TIMES_OF_DAY[change % 2], seconds=seconds)
            most = max(most, background.nbytes)
    assert view.nbytes * 10 < most <= view.nbytes * (2 * 5 + 7)


# --- checkpoints ---------------------------------------------------------------------------------------------


def filled(path: Path, rng: np.random.Generator, **options: object) -> Background:
    """One that has seen a day and a night and saved them."""
    background = made(path, **options)
    view = scene(rng)
    show(background, view, start=0, samples=12, rng=rng)
    show(background, view // 4, start=100, samples=12, time="night", rng=rng)
    background.finish()
    assert background.checkpoint(final=True)
    return background


def test_a_restart_begins_with_both_medians(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = filled(tmp_path / "bg.png", rng)
    after = made(tmp_path / "bg.png")
    after.restore()
    assert events(caplog) == [("background_restored", "")]
    for time in TIMES_OF_DAY:
        np.testing.assert_array_equal(after.of(time), before.of(time))
    assert after.nbytes == 2 * before.picture.nbytes  # type: ignore[union-attr]
    assert not after.checkpoint(final=True)  # no news
    old = before.of("day")
    assert old is not None
    new = show(after, old, start=0, samples=2, rng=rng)
    np.testing.assert_array_equal(after.of("day"), reference(deque([old] * 3 + [*new])))


@pytest.mark.parametrize(
    ("before", "after", "taken_up"),
    [
        ("night", "night", True),
        ("night", "always", True),
        ("always", "always", True),
        ("always", "night", False),
        ("never", "night", False),
        ("never", "never", True),
    ],
)
def test_pictures_that_were_not_told_apart_are_not_taken_for_day_and_night(
    rng: np.random.Generator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    before: str,
    after: str,
    taken_up: bool,
) -> None:
    caplog.set_level(logging.INFO)
    old = filled(tmp_path / "bg.png", rng, told_by=before)
    new = made(tmp_path / "bg.png", told_by=after)
    caplog.clear()
    new.restore()
    assert events(caplog) == [
        ("background_restored", "") if taken_up else ("background_dropped", "translate")
    ]
    for time in TIMES_OF_DAY:
        found, kept = new.of(time), old.of(time)
        assert kept is not None
        if taken_up:
            np.testing.assert_array_equal(found, kept)
        else:
            assert found is None


def test_nothing_to_restore_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for background in (made(tmp_path / "none" / "bg.png"), made(None)):
        background.restore()
        assert background.picture is None
        assert not background.checkpoint(final=True)
    assert caplog.records == []
    assert os.listdir(tmp_path) == []


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def altered(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def from_elsewhere(path: Path) -> None:
    path.write_bytes(b"\x80\x04\x95not a pickle, not an array")


@pytest.mark.parametrize(
    ("spoil", "options", "reason"),
    [
        (torn, {}, "its checksum is wrong: it is torn or was altered"),
        (altered, {}, "its checksum is wrong: it is torn or was altered"),
        (from_elsewhere, {}, "it is no background checkpoint"),
        (None, {"camera": "yard"}, "its camera is 'gate', not 'yard'"),
        (None, {"source": "rtsp://10.0.0.6/1"}, "its source is '', not 'rtsp://10.0.0.6/1'"),
    ],
)
def test_a_checkpoint_that_will_not_do_is_refused_with_one_warning(
    rng: np.random.Generator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: object,
    options: dict[str, object],
    reason: str,
) -> None:
    filled(tmp_path / "bg.png", rng)
    if callable(spoil):
        spoil(tmp_path / "bg.state")
    after = made(tmp_path / "bg.png", **options)
    after.restore()
    assert after.picture is None
    fresh = show(after, scene(rng), start=0, samples=2, rng=rng)
    np.testing.assert_array_equal(after.picture, reference(fresh))
    assert events(caplog) == [("background_refused", reason)]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{tmp_path / 'bg.state'} refused: {reason}; starting afresh" in record.getMessage()
    assert after.checkpoint()  # and the next start has a good one
    again = made(tmp_path / "bg.png", **options)
    again.restore()
    np.testing.assert_array_equal(again.picture, after.picture)


def test_a_checkpoint_of_another_size_is_refused_at_the_first_picture(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path / "bg.png", rng)
    after = made(tmp_path / "bg.png")
    after.restore()
    fresh = show(after, scene(rng, size=(72, 128)), start=0, samples=2, rng=rng)
    np.testing.assert_array_equal(after.picture, reference(fresh))
    assert after.of("night") is None
    assert events(caplog) == [("background_refused", "its pictures are 128x96, the camera's are 128x72")]
    assert str(tmp_path / "bg.state") in caplog.text


def test_checkpoints_are_written_now_and_then_and_at_the_end(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    clock = FakeClock()
    background = made(tmp_path / "bg.png", clock=clock)
    view = scene(rng)
    written = []
    for second in range(round(2.5 * CHECKPOINT_EVERY)):
        if second % 20 == 0:
            show(background, view, start=second, samples=2, rng=rng)
        if background.checkpoint():
            written.append(second)
        clock.now += 1
    assert written == [0, CHECKPOINT_EVERY, 2 * CHECKPOINT_EVERY]
    assert background.checkpoint(final=True)
    assert not background.checkpoint(final=True)
    kept = load_background(tmp_path / "bg.state", camera="gate", source="")
    assert kept is not None
    np.testing.assert_array_equal(kept.medians["day"].picture, background.picture)


def test_a_full_disk_is_not_tried_at_every_look(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, tries = FakeClock(), []

    def disk_full(*_: object, **__: object) -> None:
        tries.append(clock.now)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(background_checkpoint, "save_background", disk_full)
    background = made(tmp_path / "bg.png", clock=clock)
    show(background, scene(rng), start=0, samples=2, rng=rng)
    with pytest.raises(OSError, match="No space"):
        background.checkpoint()
    for _ in range(round(CHECKPOINT_EVERY) - 1):
        clock.now += 1
        assert not background.checkpoint()
    clock.now += 1
    with pytest.raises(OSError, match="No space"):
        background.checkpoint()
    assert len(tries) == 2


def test_observing_never_touches_the_disk(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the hot loop calls may drop, switch and publish, but not write."""

    def writes(*_: object, **__: object) -> None:
        raise AssertionError("the loop waits for a disk")

    background = filled(tmp_path / "bg.png", rng)
    monkeypatch.setattr(background_module, "save_png", writes)
    for name in ("save_background", "load_background"):
        monkeypatch.setattr(background_checkpoint, name, writes)
    monkeypatch.setattr("builtins.open", writes)
    show(background, scene(rng), start=200, samples=30, rng=rng)
    show(background, scene(rng, size=(48, 64)), start=300, samples=2, time="night", rng=rng)


# --- the end of a scene ---------------------------------------------------------------------------------------


def test_another_resolution_drops_both(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    background = filled(tmp_path / "bg.png", rng)
    fresh = show(background, scene(rng, size=(120, 160)), start=200, samples=2, rng=rng)
    np.testing.assert_array_equal(background.of("day"), reference(fresh))
    assert background.of("night") is None
    assert events(caplog) == [("background_dropped", "resolution")]


def test_a_moved_camera_drops_all(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    view, dark, elsewhere = scene(rng), scene(rng) // 3, scene(rng) // 3
    background = made(tmp_path / "bg.png", lasting=True)
    show(background, view, start=0, samples=20, rng=rng)
    show(background, dark, start=100, samples=20, time="night", rng=rng)
    assert background.checkpoint()
    assert "background_dropped" not in [name for name, _ in events(caplog)]
    assert background.given.complete_for(*view.shape[:2])
    show(background, elsewhere, start=200, samples=4, time="night", rng=rng)
    assert background.given.day is not None  # might be a lorry
    show(background, elsewhere, start=204, samples=26, time="night", rng=rng)
    assert events(caplog, "background_dropped") == [("background_dropped", "moved")]
    assert background.given.day is None
    assert background.of("day") is None
    assert background.of("night") is not None  # made of what came after
    assert background.checkpoint()  # at once, lest a restart takes up the old scene
    kept = load_background(tmp_path / "bg.state", camera="gate", source="")
    assert kept is not None
    assert set(kept.medians) == {"night"}
    assert "day" not in kept.lasting
    show(background, elsewhere, start=240, samples=30, time="night", rng=rng)
    assert len(events(caplog, "background_dropped")) == 1  # the new scene is the one it now knows


def test_a_camera_moved_while_the_program_was_down_is_noticed(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path / "bg.png", rng)
    after = made(tmp_path / "bg.png")
    after.restore()
    show(after, scene(rng), start=0, samples=30, rng=rng)
    assert events(caplog) == [("background_dropped", "moved")]
    assert after.of("night") is None


def test_a_failed_write_leaves_the_old_picture_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bg.png"
    save_png(path, np.full((8, 8, 3), 7, np.uint8))
    before = path.read_bytes()

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_png(path, np.full((8, 8, 3), 9, np.uint8))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["bg.png"]


def test_a_checkpoint_whose_pictures_differ_in_size_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = SavedBackground(
        medians={
            state: SavedMedian(np.zeros((8, width, 3), np.uint8), 1)
            for state, width in (("day", 8), ("night", 9))
        }
    )
    save_background(tmp_path / "bg.state", kept, camera="gate", source="")
    background = made(tmp_path / "bg.png")
    background.restore()
    assert background.picture is None
    assert events(caplog) == [("background_refused", "its pictures differ in size")]


# --- in the whole line ----------------------------------------------------------------------------------------


def test_a_second_run_begins_with_the_background_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the camera sees fills both medians, whatever the model makes of it (here, the inverse)."""
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    make_clip(Path("night.mp4"), 30)
    make_clip(Path("day.mp4"), 200)
    torch.manual_seed(0)
    save_checkpoint("model.pt", NightToDay(GeneratorSettings(blocks=1, width=4)))

    def play(clip: str) -> None:
        Path("clip.mp4").unlink(missing_ok=True)
        Path("clip.mp4").symlink_to(clip)
        camera = {
            "name": "gate",
            "url": "clip.mp4",
            "model": "model.pt",
            "pace": "fast",
            "background": {"save": "bg.png", "every_s": 0.04, "frames": 5},
        }
        outcome = run(
            Config.model_validate({"cameras": [camera]}),
            engines={Path("model.pt"): EngineStub(lambda frames: 255 - frames)},
        )
        assert outcome.problems == ()
        assert outcome.files == (Path("bg.png"),)

    def kept() -> dict[str, float]:
        held = load_background(Path("bg.state"), camera="gate", source="clip.mp4")
        assert held is not None
        return {state: float(median.picture.mean()) for state, median in held.medians.items()}

    def shown() -> float:
        picture = cv2.imread("bg.png")
        assert picture is not None
        return float(picture.mean())

    play("night.mp4")
    assert kept() == {"night": pytest.approx(shown())}
    night = kept()["night"]
    assert night < 60
    play("day.mp4")
    assert kept() == {"night": night, "day": pytest.approx(shown())}
    assert [name for name, _ in events(caplog, "background_restored")] == ["background_restored"]
    caplog.clear()
    save_checkpoint("model.pt", NightToDay(GeneratorSettings(blocks=2, width=4)))
    play("day.mp4")
    assert kept().keys() == {"day", "night"}  # another model sees the same scene


# --- what an engine is given ----------------------------------------------------------------------------------


def test_an_engine_is_given_what_three_samples_agree_on_and_what_was_kept(
    rng: np.random.Generator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    background = made(tmp_path / "bg.png", lasting=True, told_by="night")
    view = scene(rng)
    show(background, view, start=0, samples=2, rng=rng)
    assert background.given.day is None
    assert 0 < background.learnt("day") < 0.5
    show(background, view, start=2, samples=20, rng=rng)
    show(background, view // 4, start=100, samples=3, time="night", rng=rng)
    background.finish()
    given = background.given
    assert given.complete_for(96, 128)
    assert not given.complete_for(128, 96)
    assert given.day is not None
    assert given.night is not None
    assert np.abs(given.day.astype(int) - view).mean() < 2
    assert np.abs(given.night.astype(int) - view // 4).mean() < 2
    assert background.learnt("day") == 1.0
    assert 0 < background.learnt("night") < 1.0
    assert ("background_learnt", "day") in events(caplog)
    assert background.checkpoint(final=True)
    after = made(tmp_path / "bg.png", lasting=True, told_by="night")
    after.restore()
    assert after.given.complete_for(96, 128)
    kept = load_background(tmp_path / "bg.state", camera="gate", source="")
    assert kept is not None
    np.testing.assert_array_equal(after.given.day, kept.lasting["day"].picture)
    np.testing.assert_array_equal(after.given.night, given.night)
    assert after.learnt("day") == background.learnt("day")


def test_samples_that_do_not_agree_are_said_once(
    rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    background = made(lasting=True, told_by="night", every=0.0)
    empty = scene(rng)
    for index in range(12):
        view = empty.copy()
        if index % 2:  # traffic fills half of the picture half of the time
            view[48:] = 255 - view[48:]
        background.observe(view, time="day", seconds=float(index))
        background.finish()
    assert events(caplog) == [("background_unsettled", "day")]
    assert "its samples differ in" in caplog.text
    assert background.learnt("day") < 0.5


def test_memory_with_lasting_medians_is_bounded(rng: np.random.Generator) -> None:
    background = made(lasting=True, told_by="night", every=0.0)
    view, most = scene(rng, size=(32, 48)), 0
    for step in range(6):
        for index in range(60):
            noisy = np.clip(view + rng.integers(-3, 4, view.shape), 0, 255).astype(np.uint8)
            background.observe(noisy, time=TIMES_OF_DAY[step % 2], seconds=1e5 * step + 2000.0 * index)
            background.finish()
            most = max(most, background.nbytes)
    assert view.nbytes * 20 < most <= view.nbytes * (2 * 5 + 7 + 24)
