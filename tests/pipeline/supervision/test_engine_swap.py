"""Another engine behind cameras that run: through the loop, and through the whole program on real files."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from nightday.engines import load_engine
from nightday.engines.backends.base import Engine as EngineProtocol
from nightday.engines.backends.base import EngineInfo
from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.cli import checkpoint_fault, main
from nightday.pipeline.config.load import load_config
from nightday.pipeline.config.schema import CameraConfig, Config
from nightday.pipeline.core.clock import SystemClock
from nightday.pipeline.core.counters import BATCH_BOUNDS, CameraStats, Histogram
from nightday.pipeline.core.events import EngineChanged, Event
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.serving import model_loader, probation
from nightday.pipeline.serving.model_loader import ModelLoader
from nightday.pipeline.serving.probation import Probation
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.outcome import Outcome
from nightday.pipeline.supervision.runtime import Runtime
from nightday.pipeline.translation.channel import Channel
from nightday.pipeline.translation.worker_pool import WorkerPool
from tests.support.clips import make_clip
from tests.support.engines import EngineStub
from tests.support.media_helpers import camera_pts, clip_pts, ffmpeg_complaints
from tests.support.rtsp_server import WAIT

Pixels = NDArray[np.uint8]
FRAMES = 200
MODEL = Path("model.pt")
OLD, NEW = 60, 190  # the greys that engines paint, far enough apart to be told after an encode


class Engine(EngineStub):
    """Paints pictures ``grey``; ``on_call`` is told of each batch before, and may raise or wait."""

    def __init__(self, grey: int, on_call: Callable[[Pixels], None] = lambda _: None) -> None:
        self.info = EngineInfo("fake", "fp32", f"{grey}.pt")
        self.grey, self.on_call = grey, on_call
        self.batches: list[int] = []
        self.thread = ""

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        self.batches.append(len(frames))
        self.thread = threading.current_thread().name
        self.on_call(frames)
        return np.full_like(frames, self.grey)


class Compiled(Engine):
    """Must be prepared for a size; ``on_prepare`` is told of each before."""

    def __init__(self, grey: int, on_prepare: Callable[[], None] = lambda: None) -> None:
        super().__init__(grey)
        self.on_prepare = on_prepare
        self.sizes: set[tuple[int, int]] = set()
        self.prepared_by: list[str] = []

    def prepared(self, height: int, width: int) -> bool:
        return (height, width) in self.sizes

    def prepare(self, height: int, width: int) -> None:
        self.prepared_by.append(threading.current_thread().name)
        self.on_prepare()
        self.sizes.add((height, width))

    def __call__(self, frames: Any, *_: Any, **__: Any) -> Any:
        assert frames.shape[1:3] in self.sizes
        return super().__call__(frames)


class Heard(logging.Handler):
    """What was logged, which can be waited for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []
        self.changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self.changed:
            self.records.append(record)
            self.changed.notify_all()

    def of(self, event: str) -> list[str]:
        with self.changed:
            return [record.getMessage() for record in self.records if getattr(record, "event", "") == event]

    def wait_for(self, event: str, count: int = 1) -> str:
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.of(event)) >= count, WAIT)
        assert came, [record.getMessage() for record in self.records]
        return self.of(event)[count - 1]


def save(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    save_checkpoint(path, NightToDay(GeneratorSettings(blocks=1, width=4)))


@pytest.fixture(autouse=True)
def heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Heard]:
    monkeypatch.chdir(tmp_path)
    for path in (MODEL, Path("a.pt"), Path("b.pt"), Path("c.pt")):
        save(path, 1)
    monkeypatch.setattr(probation, "PROBATION_BATCHES", 40)
    monkeypatch.setattr(probation, "PROBATION_SECONDS", 0.0)
    monkeypatch.setattr(probation, "SLACK", WAIT)  # a busy machine decides nothing here
    caplog.set_level(logging.INFO, "nightday")
    handler = Heard()
    logging.getLogger("nightday").addHandler(handler)
    yield handler
    logging.getLogger("nightday").removeHandler(handler)


# --- through the loop -----------------------------------------------------------------------------------------


class Output:
    """Stands for a sink, and keeps what it is offered."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.changed = threading.Condition()

    def offer(self, picture: Picture) -> bool:
        with self.changed:
            self.pictures.append(picture)
            self.changed.notify_all()
        return True

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.pictures) >= count, WAIT)


class Street:
    """Cameras that tick in step, and the loop they share."""

    def __init__(self, engines: dict[str, EngineProtocol]) -> None:
        self.ready = threading.Condition()
        self.outputs = {name: Output() for name in engines}
        self.channels = {name: self._line(name, engine) for name, engine in engines.items()}
        self.loop = WorkerPool(
            self.channels,
            ready=self.ready,
            max_batch=8,
            stop=threading.Event(),
            batches=Histogram(BATCH_BOUNDS),
            clock=SystemClock(),
        )
        self.ticks = 0

    def _line(self, name: str, engine: EngineProtocol) -> Channel:
        config = CameraConfig.model_validate(
            {"name": name, "url": "rtsp://10.0.0.5/s", "model": MODEL, "translate": "always"}
        )
        stats = CameraStats()
        slot = LatestSlot(ready=self.ready, stats=stats, max_age=None)
        channel = Channel(config=config, stats=stats, slot=slot, engine=engine)
        channel.outputs = [self.outputs[name]]  # type: ignore[list-item]
        return channel

    def put(self) -> None:
        """A frame of each camera at once."""
        self.ticks += 1
        with self.ready:
            for name, channel in self.channels.items():
                video = av.VideoFrame(64, 48, "yuv420p")
                channel.slot.put(Frame(name, video, self.ticks, Fraction(1, 25), time.monotonic(), 0.0))

    def tick(self) -> None:
        """A frame of each camera at once, and what comes of it."""
        self.put()
        for output in self.outputs.values():
            output.wait_for(self.ticks)

    def greys(self, name: str) -> list[int]:
        return [int(picture.rgb[0, 0, 0]) for picture in self.outputs[name].pictures]


@contextmanager
def running(street: Street) -> Iterator[None]:
    street.loop.start()
    try:
        yield
    finally:
        street.loop.finish()
        street.loop.join(WAIT)
        assert street.loop.error is None


def test_cameras_of_one_model_share_batches_before_during_and_after_a_swap() -> None:
    old, new = Engine(OLD), Engine(NEW)
    street = Street({"a": old, "b": old, "c": old})
    trial = Probation(new, before=old, usual={}, clock=SystemClock())
    with running(street):
        for _ in range(5):
            street.tick()
        street.loop.swap(dict.fromkeys("abc", trial))
        for _ in range(5):
            street.tick()
        street.loop.swap(dict.fromkeys("abc", new))
        for _ in range(5):
            street.tick()
    assert (old.batches, new.batches) == ([3] * 5, [3] * 10)
    for name in "abc":
        assert street.greys(name) == [OLD] * 5 + [NEW] * 10
        assert [picture.frame.pts for picture in street.outputs[name].pictures] == list(range(1, 16))


def test_a_swap_waits_for_the_batch_at_hand_and_loses_none_that_waits() -> None:
    inside, release = threading.Event(), threading.Event()

    def hold(_: Pixels) -> None:
        inside.set()
        assert release.wait(WAIT)

    old, new = Engine(OLD, hold), Engine(NEW)
    street = Street({"a": old, "b": old})
    with running(street):
        street.put()
        assert inside.wait(WAIT)
        street.loop.swap({"a": new, "b": new})
        street.put()
        release.set()
        for output in street.outputs.values():
            output.wait_for(2)
    assert (old.batches, new.batches) == ([2], [2])
    assert street.greys("a") == street.greys("b") == [OLD, NEW]


def test_of_a_batch_already_taken_each_frame_goes_to_its_own_cameras_engine() -> None:
    old, new = Engine(OLD), Engine(NEW)
    street = Street({"a": old, "b": old, "c": old})
    take = street.loop.batcher.next

    def swapped(closed: threading.Event) -> Any:
        batches = take(closed)
        if batches:
            street.loop.swap({"a": new})
        return batches

    street.loop.batcher.next = swapped  # type: ignore[method-assign]
    with running(street):
        street.tick()
        street.tick()
    assert street.greys("a") == [NEW, NEW]
    assert street.greys("b") == street.greys("c") == [OLD, OLD]
    assert (old.batches, new.batches) == ([2, 2], [1, 1])


# --- through the whole program --------------------------------------------------------------------------------


def config(*cameras: dict[str, Any], **engine: Any) -> Config:
    defaults = {"url": "night.mp4", "model": MODEL, "pace": "fast", "translate": "always"}
    return Config.model_validate({"cameras": [defaults | camera for camera in cameras], "engine": engine})


class Run:
    """The program in a thread of its own. ``setups`` are what its reloads come to, one after the other."""

    def __init__(self, first: Setup, *setups: Setup | Callable[[], Setup]) -> None:
        self._setups = list(setups)
        self.commands = CommandQueue()
        self.runtime = Runtime(first, reload=self._reload, commands=self.commands)
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._work)

    def _reload(self) -> Setup:
        setup = self._setups.pop(0)
        return setup if isinstance(setup, Setup) else setup()

    def _work(self) -> None:
        self.outcome = self.runtime.run(duration=WAIT, report=None, report_every=1.0)

    def reload(self) -> None:
        self.commands.put("reload")

    def channel(self, name: str = "gate") -> Channel:
        return self.runtime._cameras[name].channel

    def wait_for_pictures(self, more: int, name: str = "gate") -> None:
        stats = self.channel(name).stats
        wanted = stats.snapshot().translated + more
        deadline = time.monotonic() + WAIT
        while stats.snapshot().translated < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def until_finished(self) -> Outcome:
        """Wait for the sources to end."""
        self._thread.join(WAIT)
        assert self.outcome is not None
        return self.outcome

    def __enter__(self) -> Run:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.commands.put("stop")
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


def swapping(
    heard: Heard, commands: Callable[[], CommandQueue], *, at: int, event: str = "engine_swapped"
) -> Any:
    """What an engine does at its batch number ``at``: ask for a reload, and go on once ``event`` is said."""
    count = [0]

    def on_call(_: Pixels) -> None:
        count[0] += 1
        if count[0] == at:
            commands().put("reload")
            heard.wait_for(event)

    return on_call


def lumas(path: Path) -> list[int]:
    """Of each frame, the grey it was painted."""
    with av.open(str(path)) as container:
        return [int(np.asarray(f.to_ndarray(format="gray"))[5, 40]) for f in container.decode(video=0)]


def test_a_swap_in_mid_file_loses_no_frame_touches_neither_reader_nor_output_and_lets_the_old_engine_go(
    heard: Heard,
) -> None:
    make_clip(Path("night.mp4"), 30, frames=FRAMES)
    settings = config({"name": "gate", "outputs": ["out.mp4"]})
    old, new = Engine(OLD), Engine(NEW)
    run = Run(Setup(settings, {MODEL: old}), Setup(settings, {MODEL: new}))
    commands = run.commands
    old.on_call = swapping(heard, lambda: commands, at=50)
    camera = run.runtime._cameras["gate"]
    parts = (camera, camera.reader, camera.channel, *camera.channel.outputs)
    infos: list[list[EngineInfo]] = []
    new.on_call = lambda _: infos.append(run.runtime.engines())
    gone = weakref.ref(old)
    with run:
        del old
        outcome = run.until_finished()
    assert (outcome.cause, outcome.problems, outcome.clean) == ("finished", (), True)
    assert outcome.files == (Path("out.mp4"),)
    assert camera_pts(Path("out.mp4")) == clip_pts(Path("night.mp4"))
    assert all(later > earlier for earlier, later in pairwise(camera_pts(Path("out.mp4"))))
    assert ffmpeg_complaints(Path("out.mp4")) == ""
    greys = [abs(luma - NEW) < abs(luma - OLD) for luma in lumas(Path("out.mp4"))]
    assert greys == [False] * 50 + [True] * (FRAMES - 50)
    (status,) = outcome.cameras
    assert (status.stats.decoded, status.stats.translated, status.stats.dropped) == (FRAMES, FRAMES, {})
    assert (camera, camera.reader, camera.channel, *camera.channel.outputs) == parts
    assert infos[0] == [new.info]
    events = ["engine_offered", "engine_swapped", "reloaded", "engine_kept"]
    assert [len(heard.of(event)) for event in events] == [1] * 4
    assert "gate: 190.pt (fake fp32) stays: 40 batches in " in heard.of("engine_kept")[0]
    assert heard.of("reloaded")[0].endswith("0 removed, 0 untouched, 1 given another engine")
    assert camera.channel.engine is new
    gc.collect()
    assert gone() is None


def test_a_new_engine_that_fails_costs_no_frame_and_is_out(heard: Heard) -> None:
    make_clip(Path("night.mp4"), 30, frames=FRAMES)
    settings = config({"name": "gate", "outputs": ["out.mp4"]})

    def fail(_: Pixels) -> None:
        raise RuntimeError("out of memory")

    old, new = Engine(OLD), Engine(NEW, fail)
    run = Run(Setup(settings, {MODEL: old}), Setup(settings, {MODEL: new}))
    old.on_call = swapping(heard, lambda: run.commands, at=50)
    gone = weakref.ref(new)
    del new
    with run:
        outcome = run.until_finished()
    assert outcome.problems == ()
    assert camera_pts(Path("out.mp4")) == clip_pts(Path("night.mp4"))
    (status,) = outcome.cameras
    assert (status.stats.translated, status.stats.dropped) == (FRAMES, {})
    assert {abs(luma - OLD) < 20 for luma in lumas(Path("out.mp4"))} == {True}
    (told,) = heard.of("engine_rolled_back")
    assert told.startswith(
        "gate: 190.pt (fake fp32) is out, 60.pt (fake fp32) serves again: it failed on batches"
    )
    assert "(RuntimeError: out of memory)" in told
    assert run.channel().engine is old
    assert run.runtime.engines() == [old.info]
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("before", "after", "kept"), [("auto", "off", True), ("off", "auto", False)])
def test_an_engine_that_runs_on_all_of_the_picture_may_take_longer(
    heard: Heard, monkeypatch: pytest.MonkeyPatch, before: str, after: str, kept: bool
) -> None:
    monkeypatch.setattr(probation, "SLACK", 0.0)
    make_clip(Path("night.mp4"), 30, frames=FRAMES)
    old, new = Engine(OLD), Engine(NEW, lambda _: time.sleep(0.005))
    run = Run(
        Setup(config({"name": "gate"}, reuse=before), {MODEL: old}),
        Setup(config({"name": "gate"}, reuse=after), {MODEL: new}),
    )
    old.on_call = swapping(heard, lambda: run.commands, at=50)
    with run:
        outcome = run.until_finished()
    assert outcome.problems == ()
    (status,) = outcome.cameras
    assert (status.stats.translated, status.stats.dropped) == (FRAMES, {})
    assert [len(heard.of(event)) for event in ("engine_kept", "engine_rolled_back")] == [kept, not kept]
    assert run.channel().engine is (new if kept else old)


@pytest.mark.slow
@pytest.mark.parametrize("other", [False, True])
def test_a_rollback_tells_which_model_it_takes_out(heard: Heard, other: bool) -> None:
    make_clip(Path("night.mp4"), 30)
    save(Path("other.pt"), 2)
    entry = {"name": "gate", "loop": True, "pace": "realtime"}

    def fail(_: Pixels) -> None:
        raise RuntimeError("bad")

    after = config(entry | {"model": "other.pt"}) if other else config(entry)
    swapped = Setup(after, {Path("other.pt") if other else MODEL: Engine(NEW, fail)})
    told: list[Event] = []
    with Run(Setup(config(entry), {MODEL: Engine(OLD)}), swapped) as run:
        run.runtime._bus.subscribe(told.append)
        run.wait_for_pictures(2)
        run.reload()
        heard.wait_for("engine_rolled_back")
    (one,) = (event for event in told if isinstance(event, EngineChanged) and event.step == "rolled_back")
    assert one.model == (Path("other.pt") if other else None)


def test_a_new_engine_is_prepared_for_what_the_cameras_send_before_it_serves(heard: Heard) -> None:
    make_clip(Path("night.mp4"), 30)
    make_clip(Path("wide.mp4"), 30, size=(96, 48))
    compiling, release = threading.Event(), threading.Event()

    def slowly() -> None:
        compiling.set()
        assert release.wait(WAIT)

    old, new = Compiled(OLD), Compiled(NEW, slowly)
    settings = config(
        {"name": "gate", "loop": True, "pace": "realtime"},
        {"name": "yard", "url": "wide.mp4", "loop": True, "pace": "realtime"},
    )
    run = Run(Setup(settings, {MODEL: old}), Setup(settings, {MODEL: new}))
    with run:
        for name in ("gate", "yard"):
            run.wait_for_pictures(3, name)
        brightened = [run.channel(name).stats.snapshot().brightened for name in ("gate", "yard")]
        run.reload()
        assert compiling.wait(WAIT)
        run.wait_for_pictures(5)  # meanwhile the old one goes on
        assert (new.batches, heard.of("engine_swapped")) == ([], [])
        release.set()
        heard.wait_for("engine_swapped")
        trial = run.channel("gate").engine
        assert run.channel("yard").engine is trial
        for name in ("gate", "yard"):
            run.wait_for_pictures(3, name)
    assert heard.of("engine_offered") == [
        "gate, yard: 190.pt (fake fp32) is offered in place of 60.pt (fake fp32)"
    ]
    assert new.sizes == {(48, 64), (48, 96)}
    assert set(new.prepared_by) == {"reload"}
    assert run.outcome is not None
    assert [status.stats.brightened for status in run.outcome.cameras] == brightened  # none more
    assert not any("engine_error" in status.stats.dropped for status in run.outcome.cameras)


def test_an_engine_that_keeps_fewer_sizes_than_its_cameras_send_is_prepared_for_each_once(
    heard: Heard,
) -> None:
    widths = (64, 96, 128)
    for width in widths:
        make_clip(Path(f"{width}.mp4"), 30, size=(width, 48))
    old, new = Compiled(OLD), Compiled(NEW, lambda: new.sizes.clear())  # it keeps the last alone
    entry = {"loop": True, "pace": "realtime"}
    settings = config(*({"name": f"at{width}", "url": f"{width}.mp4"} | entry for width in widths))
    with Run(Setup(settings, {MODEL: old}), Setup(settings, {MODEL: new})) as run:
        for width in widths:
            run.wait_for_pictures(1, f"at{width}")
        run.reload()
        heard.wait_for("engine_swapped")
        assert new.prepared_by.count("reload") == len(widths)
        new.on_prepare = lambda: None


def test_an_engine_that_cannot_be_prepared_changes_nothing(heard: Heard) -> None:
    make_clip(Path("night.mp4"), 30)

    def fail() -> None:
        raise MemoryError("no room")

    old, new = Compiled(OLD), Compiled(NEW, fail)
    settings = config({"name": "gate", "loop": True, "pace": "realtime"})
    with Run(Setup(settings, {MODEL: old}), Setup(settings, {MODEL: new})) as run:
        run.wait_for_pictures(3)
        run.reload()
        assert heard.wait_for("reload_refused") == "not reloaded: MemoryError: no room"
        run.wait_for_pictures(3)
        assert run.channel().engine is old
    assert new.batches == []


@pytest.mark.slow
def test_only_the_cameras_whose_model_has_another_path_change_their_engine(heard: Heard) -> None:
    make_clip(Path("night.mp4"), 30)
    entry = {"loop": True, "pace": "realtime"}
    a, b, c = Engine(OLD), Engine(NEW), Engine(NEW + 20)
    paths = {Path("a.pt"): a, Path("b.pt"): b, Path("c.pt"): c}

    def settings(gate: str, yard: str) -> Setup:
        cameras = {"gate": gate, "yard": yard, "door": "a.pt"}
        chosen = config(*({"name": name, "model": model} | entry for name, model in cameras.items()))
        return Setup(chosen, {path: paths[path] for path in map(Path, cameras.values())})

    with Run(settings("a.pt", "b.pt"), settings("b.pt", "b.pt"), settings("b.pt", "c.pt")) as run:
        for name in ("gate", "yard", "door"):
            run.wait_for_pictures(2, name)
        readers = {name: run.runtime._cameras[name].reader for name in ("gate", "yard", "door")}
        run.reload()
        heard.wait_for("reloaded")
        assert run.channel("gate").engine is b  # it has proved itself at the other camera
        assert run.channel("door").engine is a
        run.reload()
        heard.wait_for("reloaded", 2)
        heard.wait_for("engine_kept")
        assert run.channel("yard").engine is c
        assert run.channel("gate").engine is b
        assert {name: run.runtime._cameras[name].reader for name in readers} == readers
        assert run.runtime._cameras["gate"].config.model == Path("b.pt")
    assert [text.split(":")[0] for text in heard.of("engine_swapped")] == ["gate", "yard"]


def test_a_camera_added_meanwhile_is_on_probation_too_and_a_third_engine_has_the_first_behind_it(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probation, "PROBATION_BATCHES", 10**6)
    make_clip(Path("night.mp4"), 30)
    entry = {"loop": True, "pace": "realtime"}
    old, new, bad = Engine(OLD), Engine(NEW), Engine(NEW + 20)

    def fail(_: Pixels) -> None:
        raise RuntimeError("bad")

    bad.on_call = fail
    one = config({"name": "gate"} | entry)
    two = config({"name": "gate"} | entry, {"name": "yard"} | entry)
    setups = [Setup(one, {MODEL: new}), Setup(two, {MODEL: new}), Setup(two, {MODEL: bad})]
    with Run(Setup(one, {MODEL: old}), *setups) as run:
        run.wait_for_pictures(2)
        for count in (1, 2):
            run.reload()
            heard.wait_for("reloaded", count)
        assert run.channel("yard").engine is run.channel("gate").engine
        run.wait_for_pictures(2, "yard")
        run.reload()
        told = heard.wait_for("engine_rolled_back")
        assert told.startswith("gate, yard: 210.pt (fake fp32) is out, 60.pt (fake fp32) serves again")
        assert run.channel("yard").engine is run.channel("gate").engine is old
        run.wait_for_pictures(2, "yard")
    assert run.outcome is not None
    assert not any("engine_error" in status.stats.dropped for status in run.outcome.cameras)


@pytest.mark.slow
def test_what_the_camera_sees_by_night_stays_whatever_model_serves(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probation, "PROBATION_BATCHES", 10**6)
    make_clip(Path("night.mp4"), 30)
    background = {"save": "bg.png", "frames": 3, "every_s": 0.04}
    settings = config({"name": "gate", "loop": True, "pace": "realtime", "background": background})
    go_on = threading.Event()

    def failing(_: Pixels) -> None:
        if go_on.is_set():
            raise RuntimeError("bad")

    old, new = Engine(OLD), Engine(NEW, failing)

    def replaced() -> Setup:
        save(MODEL, 2)
        return Setup(settings, {MODEL: new})

    with Run(Setup(settings, {MODEL: old}), replaced) as run:
        kept, deadline = run.channel().pictures.background, time.monotonic() + WAIT
        assert kept is not None
        while kept.of("night") is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        run.reload()
        heard.wait_for("engine_swapped")
        go_on.set()
        heard.wait_for("engine_rolled_back")
        night = kept.of("night")
        assert night is not None
        assert night.mean() < 45  # as the clip is; the engines paint 60 and 190
    assert heard.of("background_dropped") == []


def test_a_reload_asked_for_during_a_reload_comes_after_it(heard: Heard) -> None:
    make_clip(Path("night.mp4"), 30)
    settings = config({"name": "gate", "loop": True, "pace": "realtime"})
    engine = Engine(OLD)
    reading, release = threading.Event(), threading.Event()

    def slowly() -> Setup:
        reading.set()
        assert release.wait(WAIT)
        return Setup(settings, {MODEL: engine})

    with Run(Setup(settings, {MODEL: engine}), slowly, Setup(settings, {MODEL: engine})) as run:
        run.wait_for_pictures(1)
        run.reload()
        assert reading.wait(WAIT)
        for _ in range(3):
            run.reload()
        release.set()
        heard.wait_for("reloaded", 2)
    assert run._setups == []


@pytest.mark.slow
def test_real_checkpoints_are_swapped_when_the_file_changed_and_a_bad_one_changes_nothing(
    heard: Heard,
) -> None:
    make_clip(Path("night.mp4"), 30, frames=FRAMES)
    camera = {"name": "gate", "url": "night.mp4", "model": str(MODEL), "translate": "always", "loop": True}
    Path("cameras.yaml").write_text(
        yaml.safe_dump({"cameras": [camera | {"outputs": ["out.mp4"]}], "engine": {"backend": "eager"}})
    )
    models = ModelLoader()

    def load() -> Setup:
        return models.setup(load_config("cameras.yaml", check_model=checkpoint_fault))

    with Run(load(), load, load, load) as run:
        run.wait_for_pictures(5)
        first = run.channel().engine
        MODEL.write_bytes(b"no checkpoint")
        run.reload()
        assert '"model.pt": not a checkpoint' in heard.wait_for("reload_refused")
        assert run.channel().engine is first
        save(MODEL, 2)
        run.reload()
        heard.wait_for("engine_swapped")
        assert heard.wait_for("engine_kept").startswith("gate: model.pt (eager fp32) stays: 40 batches")
        assert run.channel().engine is not first
        gone = weakref.ref(first)
        del first
        run.wait_for_pictures(2)  # the batch at hand when it was kept still names the old engine
        gc.collect()
        assert gone() is None
        run.reload()
        assert "0 removed, 1 untouched" in heard.wait_for("reloaded", 2)
    assert run.outcome is not None
    assert run.outcome.files == (Path("out.mp4"),)
    (status,) = run.outcome.cameras
    assert set(status.stats.dropped) <= {"overload", "skipped", "backlog", "stale"}  # of a busy machine
    assert ffmpeg_complaints(Path("out.mp4")) == ""


@pytest.mark.slow
def test_the_command_itself_holds_on_to_no_engine_that_was_swapped_out(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_clip(Path("night.mp4"), 30)
    camera = {"name": "gate", "url": "night.mp4", "model": str(MODEL), "translate": "always", "loop": True}
    Path("cameras.yaml").write_text(yaml.safe_dump({"cameras": [camera], "engine": {"backend": "eager"}}))
    loaded: list[weakref.ref[Any]] = []

    def noted(*arguments: Any, **options: Any) -> EngineProtocol:
        made = load_engine(*arguments, **options)
        loaded.append(weakref.ref(made))
        return made

    monkeypatch.setattr(model_loader, "load_engine", noted)
    alive: list[bool] = []

    def operate() -> None:
        try:
            heard.wait_for("engine_swapped")  # from none to the first
            save(MODEL, 2)
            signal.raise_signal(signal.SIGHUP)
            heard.wait_for("engine_kept")
            deadline = time.monotonic() + WAIT
            while loaded[0]() is not None and time.monotonic() < deadline:
                gc.collect()
                time.sleep(0.01)
            alive.extend(reference() is not None for reference in loaded)
        finally:
            if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # it has not ended by itself
                signal.raise_signal(signal.SIGTERM)

    operator = threading.Thread(target=operate)
    operator.start()
    assert main(["--cameras", "cameras.yaml", "--duration", str(WAIT)]) == 0
    operator.join(WAIT)
    assert alive == [False, True]
