"""A camera's rounds with a stand-in for the training: what serves after each outcome, and after any crash."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as ThreadEvent
from typing import Any

import numpy as np
import pytest

from nightday.pipeline.config.schema import LearningConfig
from nightday.pipeline.core.events import (
    BackgroundChanged,
    EngineChanged,
    Event,
    Notice,
    OwnModelChanged,
)
from nightday.pipeline.learning import camera_learning, rounds
from nightday.pipeline.learning.camera_learning import DAY, CameraLearning, LearningCamera
from nightday.pipeline.learning.learner import Learner
from nightday.pipeline.learning.own_folder import OwnFolder
from nightday.pipeline.scene.training_pictures import picture_path

START = 1_780_000_000 // 86_400 * 86_400


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = float(START)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def wait(self, event: ThreadEvent, seconds: float) -> bool:
        return event.is_set()


@dataclass
class Trained:
    """A stand-in for the process of a training; ``finish`` has it end."""

    folder: Path
    words: Sequence[str]
    ended: int | None = None
    stopped: bool = False
    said: str = ""

    def status(self) -> int | None:
        return self.ended

    def last_words(self) -> str:
        return self.said

    def stop(self, within: float) -> None:
        self.stopped, self.ended = True, -15

    def finish(self, *, won: bool, model: bytes = b"model") -> None:
        run = self.folder / "run"
        (run / "best.pt").write_bytes(model)
        (run / "report.html").write_text("report")
        (self.folder / "judgement.json").write_text(json.dumps({"won": won, "why": "it was measured"}))
        self.ended = 0


@dataclass
class Place:
    """A camera that learns, and what became known of it."""

    folder: OwnFolder
    clock: Clock = field(default_factory=Clock)
    events: list[Event] = field(default_factory=list)
    renewed: int = 0
    trainings: list[Trained] = field(default_factory=list)

    def learning(self) -> CameraLearning:
        """As after a start of the program."""
        return CameraLearning(
            LearningCamera("gate", self.folder.pictures, self.folder),
            LearningConfig(),
            renew=self._renew,
            publish=self.events.append,
            clock=self.clock,
            start=self._start,
        )

    def pass_days(self, days: int, *, every: int = 600) -> None:
        """Time passes, and pictures are collected by day (8 to 18 o'clock) and by night (20 to 6)."""
        first = int(self.clock.now)
        for second in range(first, first + days * 86_400, every):
            hour = second % 86_400 / 3600
            kind = "day" if 8 <= hour < 18 else "night" if hour >= 20 or hour < 6 else ""
            if kind:
                path = picture_path(self.folder.pictures / kind, second)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"picture")
        self.clock.now += days * 86_400

    @property
    def steps(self) -> list[str]:
        """What was told of its own model."""
        return [event.step for event in self.events if isinstance(event, OwnModelChanged)]

    def _renew(self) -> None:
        self.renewed += 1

    def _start(self, folder: Path, words: Sequence[str]) -> Trained:
        (folder / "run").mkdir(exist_ok=True)
        self.trainings.append(Trained(folder, words))
        return self.trainings[-1]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(OwnFolder(tmp_path / "gate"))


def begun(place: Place) -> CameraLearning:
    """A camera whose round is being trained."""
    place.pass_days(4)
    learning = place.learning()
    assert learning.look(may_train=True).stage == "waiting"
    assert learning.look(may_train=True).stage == "training"
    return learning


def test_a_winner_serves_and_what_it_replaced_can_be_had_again(place: Place) -> None:
    learning = begun(place)
    assert place.folder.serving() is None
    place.trainings[-1].finish(won=True, model=b"first")
    status = learning.look(may_train=True)
    assert (status.stage, status.serves) == ("resting", 1)
    serving = place.folder.serving()
    assert serving is not None
    assert serving.read_bytes() == b"first"
    assert place.renewed == 1
    assert place.folder.report.read_text() == "report"
    assert not place.folder.round.exists()

    place.pass_days(8)
    learning.look(may_train=True)
    learning.look(may_train=True)
    assert f"--running={serving}" in place.trainings[-1].words, "the one that serves is a rival"
    place.trainings[-1].finish(won=True, model=b"second")
    assert learning.look(may_train=True).serves == 2
    learning.take_back(Path("weights/general.pt"), "another model that was tried meanwhile")
    learning.take_back(place.folder.model(1), "one of the past")
    assert place.folder.serving() == place.folder.model(2)
    learning.take_back(place.folder.model(2), "it was slower")
    serving = place.folder.serving()
    assert serving is not None
    assert serving.read_bytes() == b"first"
    assert place.steps == ["training", "won", "training", "won", "rolled_back"]


def test_a_loser_changes_nothing(place: Place) -> None:
    learning = begun(place)
    place.trainings[-1].finish(won=False)
    status = learning.look(may_train=True)
    assert (status.stage, status.serves, place.renewed) == ("resting", None, 0)
    assert place.folder.serving() is None
    place.clock.now += 6 * DAY
    assert learning.look(may_train=True).stage == "resting"
    place.pass_days(2)
    assert learning.look(may_train=True).stage == "waiting"


def test_only_one_camera_trains(place: Place, tmp_path: Path) -> None:
    begun(place)
    other = Place(OwnFolder(tmp_path / "yard"), place.clock)
    other.clock = Clock()
    other.pass_days(4)
    learning = other.learning()
    learning.look(may_train=False)
    assert learning.look(may_train=False).stage == "waiting"
    assert not other.trainings
    assert learning.look(may_train=True).stage == "training"


@pytest.mark.parametrize("status", [1, 2])
def test_a_round_that_fails_is_told_and_tried_again_later(place: Place, status: int) -> None:
    learning = begun(place)
    place.trainings[-1].said = "nightday-train: gate: the camera moved"
    place.trainings[-1].ended = status
    assert learning.look(may_train=True).stage == "resting"
    told = [event for event in place.events if isinstance(event, OwnModelChanged)][-1]
    assert "the camera moved" in told.detail
    waits = []
    for _ in range(4):
        begins = place.folder.read().not_before
        waits.append(begins - place.clock.now)
        place.clock.now = begins
        learning.look(may_train=True)
        learning.look(may_train=True)
        place.trainings[-1].ended = status
        learning.look(may_train=True)
    assert waits == [3600, 7200, 14400, 28800]


def test_a_training_that_is_killed_goes_on_but_not_for_ever(place: Place) -> None:
    learning = begun(place)
    for _ in range(camera_learning.MOST_TRIES - 1):
        place.trainings[-1].ended = -9
        assert learning.look(may_train=True).stage == "training"
        assert place.trainings[-1].folder == place.folder.round
    place.trainings[-1].ended = -9
    learning.look(may_train=True)
    assert len(place.trainings) == camera_learning.MOST_TRIES
    assert place.steps == ["training", "failed"]


def test_stops_of_the_program_do_not_count_as_kills(place: Place) -> None:
    learning = begun(place)
    for _ in range(3 * camera_learning.MOST_TRIES):
        learning.pause()
        assert place.trainings[-1].stopped
        learning = place.learning()
        assert learning.look(may_train=True).stage == "training"
    place.trainings[-1].finish(won=True)
    assert learning.look(may_train=True).serves == 1
    assert place.steps == ["training", "won"]


def test_another_scene_ends_the_round_and_what_was_learnt(place: Place) -> None:
    learning = begun(place)
    place.trainings[-1].finish(won=True)
    learning.look(may_train=True)
    place.pass_days(8)
    learning.look(may_train=True)
    learning.look(may_train=True)
    running = place.trainings[-1]
    learning.drop()
    assert running.stopped
    assert place.folder.serving() is None
    assert place.renewed == 2
    assert learning.look(may_train=True).stage == "collecting", "pictures of the old scene do not count"
    place.pass_days(4)
    assert learning.look(may_train=True).stage == "waiting"


def test_events_lead_to_it(place: Place) -> None:
    place.pass_days(4)
    learner = Learner(renew=place._renew, publish=place.events.append, clock=place.clock, start=place._start)
    learner._wanted = ((LearningCamera("gate", place.folder.pictures, place.folder),), LearningConfig())
    learner.look()
    learner.look()
    place.trainings[-1].finish(won=True)
    learner.look()
    assert place.folder.serving() is not None
    # None of these concerns it.
    learner.note(BackgroundChanged(camera="gate", step="dropped", detail="", reason="refocused"))
    learner.note(BackgroundChanged(camera="yard", step="dropped", detail="", reason="moved"))
    learner.note(EngineChanged(step="rolled_back", cameras=("yard",), detail="", model=place.folder.model(1)))
    learner.note(EngineChanged(step="rolled_back", cameras=("gate",), detail="its precision"))
    learner.note(Notice(camera="gate", name="collection_thinned", detail=""))
    learner.look()
    assert place.folder.serving() is not None
    failed = place.folder.model(1)
    learner.note(
        EngineChanged(step="rolled_back", cameras=("yard", "gate"), detail="it failed", model=failed)
    )
    learner.look()
    assert place.folder.serving() is None
    assert place.folder.read().rounds[-1].outcome == "rolled back"
    learner.note(Notice(camera="gate", name="collection_restarted", detail=""))
    learner.look()
    status = learner.status("gate")
    assert status is not None
    assert status.stage == "collecting"


def test_another_scene_is_not_forgotten_while_the_disk_is_full(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.pass_days(4)
    learner = Learner(renew=place._renew, publish=place.events.append, clock=place.clock, start=place._start)
    learner.note(Notice(camera="gate", name="collection_restarted", detail=""))  # nobody learns yet
    assert learner._events.empty()
    learner._wanted = ((LearningCamera("gate", place.folder.pictures, place.folder),), LearningConfig())
    learner.look()
    learner.look()
    place.trainings[-1].finish(won=True)
    learner.look()
    assert place.folder.serving() is not None

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(OwnFolder, "write", full)
        learner.note(Notice(camera="gate", name="collection_restarted", detail=""))
        learner.look()
        learner.look()
        assert place.folder.serving() is not None
    learner.look()
    assert place.folder.serving() is None
    assert learner._events.empty()


def test_a_folder_that_cannot_be_written_is_told_once_and_hurts_no_other_camera(
    place: Place, tmp_path: Path
) -> None:
    blocked = OwnFolder(tmp_path / "blocked")
    place.pass_days(4)
    shutil.copytree(place.folder.pictures, blocked.pictures)
    blocked.round.with_name("round").write_text("a file where a folder has to be")
    (blocked.folder / "own_model.json").mkdir()
    learner = Learner(renew=place._renew, publish=place.events.append, clock=place.clock, start=place._start)
    cameras = (
        LearningCamera("blocked", blocked.pictures, blocked),
        LearningCamera("gate", place.folder.pictures, place.folder),
    )
    learner._wanted = (cameras, LearningConfig())
    for _ in range(4):
        learner.look()
    notices = [event for event in place.events if isinstance(event, Notice)]
    assert [(event.camera, event.name) for event in notices] == [("blocked", "own_model_failed")]
    status = learner.status("gate")
    assert status is not None
    assert status.stage == "training"


class Killed(BaseException):
    """The process is gone at this point."""


def killed_at(patch: pytest.MonkeyPatch, moment: int) -> Callable[[], int]:
    """Have the process die before the ``moment``-th change of the disk; gives how many there were."""
    count = 0

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == moment:
                raise Killed
            return change(*arguments, **options)

        return changed

    for name in ("replace", "rename", "link", "unlink", "mkdir"):
        patch.setattr(os, name, dying(getattr(os, name)))
    return lambda: count


@pytest.mark.slow
def test_whenever_it_is_killed_no_loser_serves_and_nothing_is_stuck(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each change of the disk in turn; rounds are won and lost at random."""
    pictures = Place(OwnFolder(tmp_path / "pictures"))
    for name in ("LEAST_DAY", "LEAST_NIGHT", "LEAST_HELD"):  # so that there are few changes
        monkeypatch.setattr(rounds, name, 7 if name == "LEAST_DAY" else 2)
    pictures.pass_days(2, every=10_000)
    moment = 0
    while True:
        moment += 1
        place = Place(OwnFolder(tmp_path / str(moment)))
        place.folder.pictures = pictures.folder.pictures
        place.clock.now = pictures.clock.now
        outcomes = [bool(rng.random() < 0.6) for _ in range(3)]
        with pytest.MonkeyPatch.context() as patch:
            changes = killed_at(patch, moment)
            with suppress(Killed):
                live(place, outcomes)
        was_killed = changes() >= moment
        live(place, outcomes)
        serving = place.folder.serving()
        last_won = [number for number, won in enumerate(outcomes, 1) if won]
        assert (serving is None) == (not last_won)
        assert serving is None or serving.read_bytes() == b"won"
        assert not place.folder.round.exists()
        if not was_killed:
            break
    assert moment > 20, "hardly anything was interrupted"


def live(place: Place, outcomes: Sequence[bool]) -> None:
    """Start the program and run it until every round has had its outcome."""
    learning = place.learning()
    for _ in range(60):
        learning.look(may_train=True)
        own = place.folder.read()
        if len(own.rounds) == len(outcomes) and not place.folder.round.exists():
            return
        if place.trainings and place.trainings[-1].ended is None and learning.trains:
            won = outcomes[own.next_number - 1]
            place.trainings[-1].finish(won=won, model=b"won" if won else b"lost")
        place.clock.now = max(place.clock.now, own.not_before)
    raise AssertionError(f"stuck: {place.folder.read()}")
