"""A running program puts a camera's own model into service, and takes it out again, as the learner asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nightday.engines.bundled import bundled_weights
from nightday.pipeline.config.fields import AUTO
from nightday.pipeline.config.load import LoadedConfig, load_config
from nightday.pipeline.config.schema import Config
from nightday.pipeline.core.events import BackgroundChanged
from nightday.pipeline.learning import learner
from nightday.pipeline.learning.cli import main
from nightday.pipeline.learning.own_folder import OwnFolder, OwnModels
from nightday.pipeline.learning.own_models import folder_of, learning_cameras, with_own_models
from nightday.pipeline.serving import probation
from nightday.pipeline.serving.model_loader import ModelLoader
from nightday.pipeline.supervision.commands import CommandQueue
from nightday.pipeline.supervision.runtime import Runtime
from tests.support.clips import make_clip

WITHIN = 90.0
YAML = """
engine: {backend: eager, precision: fp32}
cameras:
  - {name: gate, url: night.mp4, loop: true, learn: true, translate: always, outputs: [out.mp4]}
"""


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedConfig:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    make_clip(Path("night.mp4"), 40, frames=25)
    Path("cameras.yaml").write_text(YAML)
    return load_config("cameras.yaml")


def own_folder(loaded: LoadedConfig) -> OwnFolder:
    return folder_of(loaded.config.cameras[0], loaded.config.learning)


def with_won(folder: OwnFolder) -> OwnModels:
    """As if the camera's first round had been won, by a model like the general one."""
    folder.install(1, bundled_weights("general.pt"))
    own = OwnModels().won("it was better", now=0.0, not_before=4e9)
    folder.write(own)
    return own


def test_a_configuration_gets_the_models_that_serve(loaded: LoadedConfig) -> None:
    folder = own_folder(loaded)
    before = with_own_models(loaded.config)
    assert before.cameras[0].model == AUTO
    assert before.cameras[0].collect is not None
    assert before.cameras[0].collect.folder == folder.pictures
    assert [camera.folder.folder for camera in learning_cameras(before)] == [folder.folder]
    with_won(folder)
    after = with_own_models(loaded.config)
    assert after.cameras[0].model == folder.model(1)
    assert with_own_models(before) == after, "the present one becomes the same"
    folder.write(folder.read().without("taken back", "asked for"))
    assert with_own_models(after) == before
    assert not folder.model(1).exists(), "nothing leads back to it"


def test_who_learns_by_default(loaded: LoadedConfig) -> None:
    camera = loaded.config.cameras[0].model_copy(update={"learn": None})
    assert not camera.learns, "a file shows nothing new"
    live = Config.model_validate(
        {"cameras": [{"name": "gate", "url": "rtsp://10.0.0.5/1", "outputs": ["out.mp4"]}]}
    ).cameras[0]
    assert live.learns
    assert not live.model_copy(update={"learn": False}).learns
    assert not live.model_copy(update={"outputs": ()}).learns, "nobody sees it"
    assert not live.model_copy(update={"translate": "never"}).learns


@pytest.fixture
def run(loaded: LoadedConfig, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    monkeypatch.setattr(learner, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(probation, "PROBATION_BATCHES", 5)
    monkeypatch.setattr(probation, "PROBATION_SECONDS", 0.0)
    monkeypatch.setattr(probation, "SLACK", WITHIN)  # a busy machine decides nothing here
    models, commands = ModelLoader(), CommandQueue()

    def renew(config: Config) -> object:
        return models.setup(replace(loaded, config=with_own_models(config)))

    setup = models.setup(replace(loaded, config=with_own_models(loaded.config)))
    runtime = Runtime(setup, renew=renew, commands=commands)  # type: ignore[arg-type]
    thread = threading.Thread(target=lambda: runtime.run(duration=None, report=None, report_every=1.0))
    thread.start()
    yield runtime
    commands.put("stop")
    thread.join(WITHIN)
    assert not thread.is_alive()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_winner_serves_without_a_restart_until_the_scene_changes(
    loaded: LoadedConfig, run: Runtime
) -> None:
    def served(name: str) -> bool:
        return [engine.model for engine in run.engines()] == [name]

    wait_for(lambda: run.cameras()[0].stats.decoded > 5)
    (status,) = run.cameras()
    assert status.own_model is not None
    assert (status.own_model.serves, status.own_model.stage) == (None, "collecting")
    assert served("general.pt")
    with_won(own_folder(loaded))
    run._commands.put("renew")
    wait_for(lambda: served("1.pt"))
    wait_for(lambda: (own := run.cameras()[0].own_model) is not None and own.serves == 1)
    assert run.cameras()[0].state == "playing"
    run._bus.publish(BackgroundChanged(camera="gate", step="dropped", detail="", reason="moved"))
    wait_for(lambda: served("general.pt"))
    (status,) = run.cameras()
    assert status.own_model is not None
    assert status.own_model.serves is None
    assert not run.events.snapshot().get(("camera_retrying", "gate"))


def test_a_model_is_taken_back_by_hand(loaded: LoadedConfig, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own_folder(loaded)
    with_won(folder)
    assert main(["--cameras", "cameras.yaml"]) == 0
    assert "gate: its own model of round 1 serves\n  round 1, " in capsys.readouterr().out
    assert main(["--cameras", "cameras.yaml", "--take-back", "gate"]) == 0
    assert folder.serving() is None
    assert folder.read().rounds[-1].outcome == "taken back"
    assert main(["--cameras", "cameras.yaml", "--take-back", "gate"]) == 2
    assert "nothing to take back" in capsys.readouterr().err
    assert main(["--cameras", "cameras.yaml", "--take-back", "yard"]) == 2
    assert "no camera 'yard'; there are: gate" in capsys.readouterr().err
