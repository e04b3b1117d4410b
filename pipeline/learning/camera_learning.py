"""The rounds by which one camera comes to a model of its own, and what ends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..config.schema import LearningConfig
from ..core.camera_url import redact
from ..core.clock import Clock
from ..core.events import OwnModelChanged, OwnModelStep, Publish
from ..core.faults import detail_of
from ..core.status import OwnModelStatus
from . import rounds
from .background_process import BackgroundProcess
from .own_folder import OwnFolder, OwnModels

# Seconds a training has to write down where it is when it is asked to end.
STOP_WITHIN = 2.0
# Seconds until a round that failed is followed by another; twice as many after each that failed, too.
AGAIN_AFTER = 3600.0
# A round that was killed so often from outside, for instance where memory runs out, has failed.
MOST_TRIES = 5
DAY = 86_400.0
MODULE = "nightday.train.round"
LOST = -1000
"""The status of a training whose machine is gone: the round goes on on another, and it counts as no try."""


class Training(Protocol):
    """A round under way in another process; see ``BackgroundProcess``."""

    def status(self) -> int | None:
        """How it ended, ``LOST`` where its machine is gone; None while it runs."""
        ...

    def last_words(self) -> str:
        """The last line that it said."""
        ...

    def stop(self, within: float) -> None:
        """Ask it to end, and end it after so many seconds."""
        ...


Start = Callable[[Path, Sequence[str]], Training]


def start_round(folder: Path, words: Sequence[str]) -> Training:
    """Start the round in ``folder``. Raises OSError."""
    return BackgroundProcess(MODULE, [str(folder), *words], log=folder / "round.log")


@dataclass(frozen=True, slots=True)
class LearningCamera:
    """A camera that is to have a model of its own.

    Attributes:
        name: the camera.
        pictures: where its pictures are collected.
        folder: what is kept of its models.
    """

    name: str
    pictures: Path
    folder: OwnFolder


class CameraLearning:
    """One camera's rounds. All methods are for one thread; those that write raise OSError.

    Args:
        camera: the camera.
        settings: how rounds are trained.
        renew: asks for what is to serve to be put behind the camera; must not block.
        publish: told what happens.
        clock: time.
        start: starts the training of a round.
    """

    def __init__(
        self,
        camera: LearningCamera,
        settings: LearningConfig,
        *,
        renew: Callable[[], None],
        publish: Publish,
        clock: Clock,
        start: Start = start_round,
    ) -> None:
        self.camera = camera
        self.settings = settings
        """May be changed between rounds."""
        self._folder = camera.folder
        self._renew = renew
        self._publish = publish
        self._clock = clock
        self._start = start
        self._training: Training | None = None

    @property
    def trains(self) -> bool:
        """Whether a process of it is at work."""
        return self._training is not None

    def look(self, *, may_train: bool) -> OwnModelStatus:
        """Do what is due; how its own model fares then. ``may_train``: whether there is room for its training."""
        own, now = self._folder.read(), self._clock.time()
        if self._training is not None and (status := self._training.status()) is not None:
            said, self._training = self._training.last_words(), None
            self._end(own, status, said)
            own = self._folder.read()
        plan = rounds.plan_of(self._folder.round)
        if plan is not None and self._training is None:
            self._go_on(own, plan, may_train=may_train)
            own, plan = self._folder.read(), rounds.plan_of(self._folder.round)
        if plan is not None:
            return self._under_way(own, plan)
        day, night = rounds.seconds_of(self.camera.pictures, since=own.since)
        wanted = rounds.choose(day, night, now=now)
        if isinstance(wanted, rounds.Missing):
            text = f"collecting its pictures; still needed: {wanted.text}"
            return OwnModelStatus(own.serves, "collecting", text, wanted.share)
        if now < own.not_before:
            days = (own.not_before - now) / DAY
            text = f"the next round begins {f'in {days:.0f} days' if days >= 1.5 else 'within a day'}"
            return OwnModelStatus(own.serves, "resting", text, None, own.not_before - now)
        try:
            self._folder.end_round()  # what a crash may have left of one
            new = {"number": own.next_number, "steps": self.settings.steps}
            rounds.begin(self._folder.round, self.camera.pictures, wanted, plan=new)
        except OSError as error:
            self._fail(own, f"its pictures cannot be kept: {detail_of(error)}")
        return OwnModelStatus(own.serves, "waiting", "a round waits for its turn")

    def take_back(self, model: Path, detail: str) -> None:
        """The engine of ``model`` did not pass its probation, as ``detail`` says."""
        own = self._folder.read()
        if own.serves is None or model != self._folder.model(own.serves):
            return
        self._folder.write(own.without("rolled back", detail))
        self._tell("rolled_back", f"its own model of round {own.serves} does not serve: {detail}")
        self._renew()

    def drop(self) -> None:
        """The camera shows another scene: what was learnt of the one before must not serve."""
        own, now = self._folder.read(), self._clock.time()
        self.pause()
        under_way = rounds.plan_of(self._folder.round) is not None
        if own.serves is None and not under_way:
            self._folder.write(replace(own, since=now))
            return
        why = "the camera shows another scene"
        ended = own.ended("dropped", why, now=now, not_before=now) if under_way else own
        self._folder.write(replace(ended, serves=None, before=(), not_before=now, since=now))
        self._folder.end_round()
        self._tell("dropped", f"{why}; the general model serves, and learning begins anew")
        if own.serves is not None:
            self._renew()

    def pause(self) -> None:
        """End the training, if there is one; it goes on when ``look`` is called again."""
        training, self._training = self._training, None
        if training is None:
            return
        training.stop(STOP_WITHIN)
        with suppress(OSError):  # then it counts as killed
            self._take_back_try()

    def _take_back_try(self) -> None:
        own = self._folder.read()
        self._folder.write(replace(own, tries=max(0, own.tries - 1)))

    def _go_on(self, own: OwnModels, plan: dict[str, Any], *, may_train: bool) -> None:
        """What a round is due for that no process works on: of this run, or of one that was killed."""
        if plan.get("number") != own.next_number:  # it has ended, and its folder is still there
            self._folder.end_round()
            return
        judgement = rounds.judgement_of(self._folder.round)
        if judgement is not None:
            self._take(own, judgement)
        elif may_train:
            self._train(own, plan)

    def _train(self, own: OwnModels, plan: dict[str, Any]) -> None:
        if own.tries >= MOST_TRIES:
            self._fail(own, f"training was killed {own.tries} times; is there memory enough?")
            return
        words = [f"--steps={plan['steps']}", f"--threads={self.settings.threads}"]
        words.append(f"--device={self.settings.device}")
        running = self._folder.serving()
        if running is not None:
            words.append(f"--running={running}")
        is_new = not (self._folder.round / rounds.RUN).exists()
        # Counted before it begins, so that one that takes the whole machine down does not do so for ever.
        self._folder.write(replace(own, tries=own.tries + 1))
        try:
            self._training = self._start(self._folder.round, words)
        except OSError as error:
            self._fail(own, f"training cannot be started: {detail_of(error)}")
            return
        if is_new:
            self._tell("training", f"round {own.next_number} of its own model is being trained")

    def _under_way(self, own: OwnModels, plan: dict[str, Any]) -> OwnModelStatus:
        if self._training is None:
            return OwnModelStatus(own.serves, "waiting", "a round waits until there is room for its training")
        share, seconds = rounds.progress_of(self._folder.round, int(plan["steps"]))
        if share >= 1:
            return OwnModelStatus(own.serves, "judging", "its new model is being judged")
        text = "a model of its own is being trained"
        return OwnModelStatus(own.serves, "training", text, share, seconds)

    def _end(self, own: OwnModels, status: int, said: str) -> None:
        """A training has ended. One that was killed from outside goes on."""
        judgement = rounds.judgement_of(self._folder.round)
        if status == 0 and judgement is not None:
            self._take(own, judgement)
        elif status == LOST:
            self._take_back_try()
        elif status in (1, 2):
            self._fail(own, redact(said) or f"training ended with status {status}")

    def _take(self, own: OwnModels, judgement: dict[str, Any]) -> None:
        folder, now, number = self._folder, self._clock.time(), own.next_number
        run, why = folder.round / rounds.RUN, str(judgement.get("why", ""))
        rest = now + self.settings.every_days * DAY
        if judgement.get("won") is True:
            folder.install(number, run / "best.pt")
            folder.write(own.won(why, now=now, not_before=rest))
            self._tell("won", f"its own model of round {number} is to serve: {why}")
            self._renew()
        else:
            folder.write(own.ended("lost", why, now=now, not_before=rest))
            self._tell("lost", f"its own model of round {number} is not taken: {why}")
        folder.end_round(report=run / "report.html")

    def _fail(self, own: OwnModels, why: str) -> None:
        failed = 0
        for one in reversed(own.rounds):
            if one.outcome != "failed":
                break
            failed += 1
        now = self._clock.time()
        wait = min(AGAIN_AFTER * 2.0**failed, self.settings.every_days * DAY)
        self._folder.write(own.ended("failed", why, now=now, not_before=now + wait))
        self._folder.end_round()
        self._tell("failed", f"round {own.next_number} of its own model failed: {why}")

    def _tell(self, step: OwnModelStep, text: str) -> None:
        self._publish(OwnModelChanged(camera=self.camera.name, step=step, detail=text))
