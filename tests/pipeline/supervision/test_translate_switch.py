"""When a camera is translated, changed while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nightday.engines.model.checkpoint import save_checkpoint
from nightday.engines.model.generator import NightToDay
from nightday.engines.model.settings import GeneratorSettings
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.control import Controls, Translate
from nightday.pipeline.core.event_log import to_log
from nightday.pipeline.core.events import EventBus, TranslateChanged
from nightday.pipeline.core.status import CameraStatus
from nightday.pipeline.monitoring.api import camera_json
from nightday.pipeline.serving.setup import Setup
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.runtime import Runtime
from tests.support.clips import make_clip
from tests.support.engines import EngineStub
from tests.support.rtsp_server import WAIT

MODEL = "model.pt"
NIGHT, DAY = 30, 200  # luma


class Running:
    """The program in a thread of its own; each reload comes to the same configuration."""

    def __init__(self, *cameras: dict[str, Any]) -> None:
        entries = [{"model": MODEL, "loop": True, "outputs": [f"{one['name']}.mp4"]} | one for one in cameras]
        self.setup = Setup(Config.model_validate({"cameras": entries}), {Path(MODEL): EngineStub()})
        self.commands = CommandQueue()
        self.runtime = Runtime(self.setup, reload=lambda: self.setup, commands=self.commands)
        self.controls: Controls = self.runtime
        self.changes: list[TranslateChanged] = []
        self.runtime._bus.subscribe(self._note)
        self._thread = threading.Thread(
            target=lambda: self.runtime.run(duration=None, report=None, report_every=1.0)
        )

    def _note(self, event: object) -> None:
        if isinstance(event, TranslateChanged):
            self.changes.append(event)

    def status(self, name: str) -> CameraStatus:
        return next(one for one in self.runtime.cameras() if one.name == name)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT
        while not holds():
            assert time.monotonic() < deadline, self.runtime.cameras()
            time.sleep(0.01)

    def becomes(self, name: str, what: str) -> None:
        """Wait until the camera's pictures are all ``translated`` or all ``passed`` again, ten at least."""

        def counts() -> tuple[int, int]:
            stats = self.status(name).stats
            wanted = getattr(stats, what)
            return wanted, stats.translated + stats.passed + stats.brightened - wanted

        self.until(lambda: counts()[0] > 0)
        before = counts()

        def settled() -> bool:
            nonlocal before
            now = counts()
            if now[1] != before[1]:
                before = now
            return now[0] - before[0] >= 10

        self.until(settled)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.commands.put("stop")
        self._thread.join(WAIT)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_checkpoint(MODEL, NightToDay(GeneratorSettings(blocks=1, width=4)))
    make_clip(Path("night.mp4"), NIGHT)
    make_clip(Path("day.mp4"), DAY)


def test_a_night_is_switched_off_and_on_and_the_gate_goes_on_telling_night() -> None:
    with Running({"name": "gate", "url": "night.mp4"}, {"name": "other", "url": "night.mp4"}) as run:
        run.becomes("gate", "translated")
        run.controls.set_translate("gate", "never")
        assert camera_json(run.status("gate"))["translate"] == "never"
        run.becomes("gate", "passed")
        assert run.status("gate").night is True
        assert run.status("other").translate == "night"
        run.controls.set_translate("gate", "night")
        run.becomes("gate", "translated")
        assert run.status("other").stats.passed == 0
    assert [(event.camera, event.translate) for event in run.changes] == [
        ("gate", "never"),
        ("gate", "night"),
    ]


def test_a_day_is_translated_while_it_is_set_to_always() -> None:
    with Running({"name": "gate", "url": "day.mp4"}) as run:
        run.becomes("gate", "passed")
        run.controls.set_translate("gate", "always")
        run.becomes("gate", "translated")
        assert run.status("gate").night is False


def test_a_camera_that_always_translates_can_be_given_its_gate() -> None:
    with Running({"name": "gate", "url": "day.mp4", "translate": "always"}) as run:
        run.becomes("gate", "translated")
        assert run.status("gate").night is None
        run.controls.set_translate("gate", "night")
        run.becomes("gate", "passed")
        assert run.status("gate").night is False
        assert run.status("gate").night_told_by == "light"


def test_a_reload_goes_back_to_the_configuration() -> None:
    with Running({"name": "gate", "url": "night.mp4"}) as run:
        run.controls.set_translate("gate", "never")
        run.commands.put("reload")
        run.until(lambda: run.status("gate").translate == "night")
        run.becomes("gate", "translated")
    assert [event.translate for event in run.changes] == ["never", "night"]


def test_unknown_cameras_and_those_without_a_model_are_refused() -> None:
    never = {"name": "never", "url": "night.mp4", "translate": "never", "model": None}
    unseen = {"name": "unseen", "url": "night.mp4", "model": "auto", "outputs": []}
    run = Running(never, unseen, {"name": "gate", "url": "night.mp4"})
    with pytest.raises(KeyError):
        run.controls.set_translate("gone", "night")
    for name in ("never", "unseen"):
        with pytest.raises(ValueError, match=rf"^{name} runs without a model; .* reload$"):
            run.controls.set_translate(name, "always")
    run.controls.set_translate("never", "never")  # nothing changes
    assert run.changes == []
    for camera in run.runtime._cameras:
        camera.finish_outputs()
        camera.join(time.monotonic() + WAIT)


def test_settings_from_many_threads_are_told_in_the_order_in_which_they_hold() -> None:
    run = Running({"name": "gate", "url": "night.mp4", "outputs": []})
    choices: tuple[Translate, ...] = ("night", "always", "never")

    def set_often(when: Translate) -> None:
        for _ in range(200):
            run.controls.set_translate("gate", when)

    threads = [threading.Thread(target=set_often, args=(when,)) for when in choices * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert run.changes[-1].translate == run.status("gate").translate
    for before, after in zip(run.changes, run.changes[1:], strict=False):
        assert before.translate != after.translate


def test_the_log_says_what_is_translated_from_now_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "nightday")
    bus = EventBus(to_log)
    bus.publish(TranslateChanged(camera="gate", translate="never"))
    (record,) = caplog.records
    assert (record.getMessage(), record.__dict__["event"]) == (
        "gate: nothing of it is translated from now on",
        "translate_changed",
    )
