"""Cameras that run while their engine is still being built, and those that wait for it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from nightday.engines.backends.base import EngineInfo
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.errors import ConfigError
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import Runtime
from nightday.pipeline.supervision.systemd import Notifier
from nightday.pipeline.translation.own_backgrounds import FAILED, STARTING
from nightday.pipeline.translation.pending_engine import PendingEngine
from tests.support.clips import make_clip
from tests.support.engines import EngineStub
from tests.support.media_helpers import camera_pts, clip_pts, ffmpeg_complaints, packet_pts
from tests.support.rtsp_server import WAIT

NIGHT, DAY, PAINTED = 30, 200, 128  # luma of what cameras see, and of what the engine paints
FRAMES = 25
MODEL = Path("model.pt")
LIVE = {"loop": True, "pace": "realtime"}  # a file that is played like a live camera


class Engine(EngineStub):
    """Paints pictures grey, once it was prepared for their size."""

    info = EngineInfo("fake", "fp32", "model.pt")

    def __init__(self) -> None:
        super().__init__(lambda frames: np.full_like(frames, PAINTED))
        self.sizes: set[tuple[int, int]] = set()

    def prepared(self, height: int, width: int) -> bool:
        return (height, width) in self.sizes

    def prepare(self, height: int, width: int) -> None:
        self.sizes.add((height, width))


class Building:
    """Builds an engine when it is let; keeps the sizes it was built for."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.began, self.release = threading.Event(), threading.Event()
        self.fault = fault
        self.sizes: Collection[tuple[int, int]] = ()
        self.built: weakref.ref[Engine] | None = None
        self.pending = PendingEngine("model.pt", needs_backgrounds=False, device=None, build=self._build)

    def _build(self, sizes: Callable[[], Collection[tuple[int, int]]]) -> Any:
        self.sizes = sizes()
        self.began.set()
        assert self.release.wait(WAIT)
        if self.fault is not None:
            raise self.fault
        engine = Engine()
        self.built = weakref.ref(engine)
        return engine


class Systemd(Notifier):
    """Keeps what systemd would be told."""

    def __init__(self) -> None:
        super().__init__({})
        self.is_ready = threading.Event()

    def ready(self) -> None:
        self.is_ready.set()


class Running:
    """A run, and what its cameras are like at each report."""

    def __init__(
        self, settings: Config, building: Building, reload: Callable[[], Setup] | None = None
    ) -> None:
        self.commands = CommandQueue()
        self.systemd = Systemd()
        self.runtime = Runtime(
            Setup(settings, {MODEL: building.pending}),
            reload=reload,
            commands=self.commands,
            notifier=self.systemd,
        )
        self.outcome: Outcome | None = None
        self._changed = threading.Condition()

    def camera(self, name: str = "gate") -> CameraStatus:
        return next(status for status in self.runtime.cameras() if status.name == name)

    def play(self, duration: float | None = None) -> None:
        def look(*_: object) -> None:
            with self._changed:
                self._changed.notify_all()

        outcome = self.runtime.run(duration=duration, report=look, report_every=0.02)
        with self._changed:
            self.outcome = outcome
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT), self.runtime.cameras()

    def until_over(self) -> Outcome:
        self.until(lambda: self.outcome is not None)
        assert self.outcome is not None
        return self.outcome


@contextmanager
def running(
    settings: Config,
    building: Building,
    *,
    duration: float | None = None,
    reload: Callable[[], Setup] | None = None,
) -> Iterator[Running]:
    run = Running(settings, building, reload)
    thread = threading.Thread(target=run.play, args=(duration,))
    thread.start()
    try:
        yield run
    finally:
        building.release.set()
        run.commands.put("stop")
        thread.join(WAIT)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_checkpoint(MODEL, NightToDay(GeneratorSettings(blocks=1, width=4)))
    make_clip(Path("night.mp4"), NIGHT, frames=FRAMES)
    make_clip(Path("day.mp4"), DAY, frames=FRAMES)


def config(*cameras: dict[str, Any]) -> Config:
    plain = {"name": "gate", "url": "night.mp4", "model": str(MODEL)}
    return Config.model_validate({"cameras": [plain | camera for camera in cameras]})


def test_a_night_is_shown_brightened_until_its_engine_is_there_and_day_passes() -> None:
    building = Building()
    settings = config(
        LIVE | {"outputs": ["out.mp4"]}, LIVE | {"name": "yard", "url": "day.mp4", "translate": "night"}
    )
    with running(settings, building) as run:
        run.until(lambda: run.camera().stats.brightened >= 5 and run.camera("yard").stats.passed >= 5)
        assert run.systemd.is_ready.is_set()
        gate = run.camera()
        assert (gate.state, gate.engine, gate.brightened) == ("playing", "preparing", STARTING)
        assert (gate.stats.translated, gate.stats.dropped.get("engine_error", 0)) == (0, 0)
        assert not run.runtime.engines_ready()
        assert run.runtime.engines() == []
        assert run.runtime.trust("gate") == (
            "the model of gate does not tell where its pictures come from; model: auto does"
        )
        with pytest.raises(KeyError):
            run.runtime.trust("roof")
        assert building.began.wait(WAIT)
        assert building.sizes == {(48, 64)}  # what they send
        building.release.set()
        run.until(lambda: run.camera().stats.translated >= 5)
        gate = run.camera()
        assert (gate.engine, gate.brightened, gate.engine_fault) == ("ready", None, None)
        assert run.runtime.engines_ready()
        assert run.runtime.engines() == [Engine.info]
    outcome = run.until_over()
    assert outcome.problems == ()
    stats = outcome.cameras[0].stats
    shown = stats.brightened + stats.translated
    assert len(packet_pts(Path("out.mp4"))) == shown - stats.dropped.get("output_slow", 0)
    assert ffmpeg_complaints(Path("out.mp4")) == ""
    with av.open("out.mp4") as container:
        lumas = [frame.to_ndarray(format="gray")[:20].mean() for frame in container.decode(video=0)]
    assert abs(lumas[-1] - PAINTED) < 20
    assert NIGHT < lumas[0] < PAINTED - 20 or lumas[0] > PAINTED + 20


@pytest.mark.parametrize("pace", ["fast", "realtime"])
def test_a_file_waits_for_its_engine_and_all_of_it_is_translated(pace: str) -> None:
    building = Building()
    with running(config({"pace": pace, "outputs": ["out.mp4"]}, LIVE | {"name": "live"}), building) as run:
        run.until(lambda: run.camera("live").stats.brightened >= 5)
        gate = run.camera()
        assert (gate.state, gate.engine, gate.stats.decoded) == ("starting", "preparing", 0)
        building.release.set()
        run.until(lambda: run.camera().pictures + sum(run.camera().stats.dropped.values()) == FRAMES)
        stats = run.camera().stats
    assert (stats.brightened, stats.passed) == (0, 0)
    run.until_over()
    if pace == "fast":  # at its own pace a busy machine loses some
        assert stats.translated == FRAMES
        assert camera_pts(Path("out.mp4")) == clip_pts(Path("night.mp4"))


def test_a_run_of_files_lasts_from_when_they_are_opened() -> None:
    building = Building()
    with running(config({"loop": True, "pace": "fast"}), building, duration=0.3) as run:
        assert building.began.wait(WAIT)
        assert building.sizes == set()  # nothing runs that could be disturbed
        before = threading.Event()
        assert not before.wait(0.5)
        assert run.outcome is None
        building.release.set()
        outcome = run.until_over()
    assert (outcome.cause, outcome.problems) == ("duration", ())
    assert outcome.cameras[0].stats.translated > 0


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            ConfigError(["cameras.yaml:3: engine.precision: precision int8: another picture"]),
            "another picture",
        ),
        (RuntimeError("no\nroom"), "RuntimeError: no room"),
    ],
)
def test_a_build_that_fails_leaves_nights_brightened_and_is_told(
    fault: Exception, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    building = Building(fault)
    settings = config(LIVE, {"name": "clip", "pace": "fast", "outputs": ["clip.mp4"]})
    with running(settings, building) as run:
        run.until(lambda: run.camera().stats.brightened >= 3)
        building.release.set()
        run.until(lambda: run.camera("clip").state == "failed")
        before = run.camera().stats.brightened
        run.until(lambda: run.camera().stats.brightened >= before + 3)
        gate = run.camera()
        assert (gate.engine, gate.brightened) == ("failed", FAILED)
        assert gate.engine_fault is not None
        assert gate.engine_fault.endswith(told)
        assert not run.runtime.engines_ready()
        assert run.runtime.beating()
    outcome = run.until_over()
    (problem,) = outcome.problems
    assert problem.startswith("clip: failed (failed: its engine could not be built: ")
    assert problem.endswith(f"{told})")
    assert not Path("clip.mp4").exists()
    (said,) = [
        record.getMessage()
        for record in caplog.records
        if "could not be built" in record.getMessage() and record.getMessage().startswith("gate")
    ]
    assert said.endswith(f"{told}; its nights are shown brightened")


def test_a_run_of_files_whose_engine_cannot_be_built_has_failed() -> None:
    building = Building(RuntimeError("no room"))
    building.release.set()
    with running(config({"pace": "fast"}), building, duration=WAIT) as run:
        outcome = run.until_over()
    assert outcome.cause == "finished"
    assert outcome.problems == (
        "gate: failed (failed: its engine could not be built: RuntimeError: no room)",
        "no camera delivered a single picture",
    )


def test_a_reload_meanwhile_brings_its_own_engine_and_what_is_built_then_is_let_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "nightday")
    building, other = Building(), Engine()
    settings = config(LIVE, {"name": "clip", "pace": "fast"})
    with running(settings, building, reload=lambda: Setup(settings, {MODEL: other})) as run:
        run.until(lambda: run.camera().stats.brightened >= 3)
        assert building.began.wait(WAIT)
        run.commands.put("reload")
        run.until(lambda: run.camera().stats.translated >= 3 and run.camera("clip").state == "finished")
        assert run.camera("clip").stats.translated == FRAMES
        assert run.runtime._cameras["gate"].channel.engine is other  # and on no probation
        building.release.set()
        run.until(run.runtime.engines_ready)
        assert run.runtime._cameras["gate"].channel.engine is other
        gc.collect()
        assert building.built is not None
        run.until(lambda: building.built is not None and building.built() is None)
    swaps = [one.getMessage() for one in caplog.records if getattr(one, "event", "") == "engine_swapped"]
    assert swaps == ["gate, clip: model.pt (fake fp32) serves"]


def test_a_reload_may_bring_a_camera_whose_engine_is_still_to_be_built() -> None:
    first, later = Building(), Building()
    first.release.set()
    other = Path("other.pt")
    save_checkpoint(other, NightToDay(GeneratorSettings(blocks=1, width=4)))
    added = LIVE | {"name": "yard", "model": str(other), "translate": "always"}
    file = {"name": "film", "model": str(other), "translate": "always", "pace": "fast"}
    served: dict[Path, Any] = {}

    def reload() -> Setup:
        settings = config(LIVE | {"translate": "always"}, added, file)
        return Setup(settings, {MODEL: served[MODEL], other: later.pending})

    with running(config(LIVE | {"translate": "always"}), first, reload=reload) as run:
        run.until(lambda: run.camera().stats.translated >= 5)
        assert first.built is not None
        served[MODEL] = first.built()
        run.commands.put("reload")
        assert later.began.wait(WAIT)
        run.until(lambda: run.camera("yard").stats.brightened >= 5)
        assert not run.runtime.engines_ready()
        # A live camera goes on brightened, and a file waits.
        assert run.camera("film").stats.decoded == 0
        before = run.camera().stats.translated
        run.until(lambda: run.camera().stats.translated >= before + 5)
        later.release.set()
        run.until(lambda: run.camera("yard").stats.translated >= 5 and run.camera("film").state == "finished")
        assert run.camera("film").stats.translated == FRAMES
        assert run.runtime.engines_ready()
