"""Starts the cameras, watches over them, changes them under way, and ends them in good order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from nightday.engines.backends.base import Engine

from ..config.add_camera import CameraAdder
from ..config.detection import DetectorChoice
from ..config.schema import Config
from ..core.backoff import RestartBudget
from ..core.clock import Clock, SystemClock
from ..core.counters import EventCounter
from ..core.event_log import to_log
from ..core.events import EventBus, Notice, Publish
from ..core.stages import Detector
from ..core.status import CameraStatus
from ..learning.learner import Learner
from ..learning.own_models import learning_cameras
from ..monitoring.http_server import web_app
from ..monitoring.listening import WebError
from ..monitoring.night_reports import NightReports
from ..monitoring.notify.notifications import Notifications
from ..serving.setup import Setup
from ..translation.worker_pool import WorkerPool
from .cameras import CHANGE_WITHIN, Cameras
from .commands import CommandQueue
from .endpoint import HttpEndpoint
from .engine_swap import end_probations, prepare_all
from .first_engines import FirstEngines
from .outcome import Cause, Outcome
from .overload import OverloadWatch
from .reload import Reload
from .run_view import RunView
from .saving import PictureSaver, RecordedFiles
from .shutdown import failure_of, save_last, shut_down
from .systemd import Notifier

# Seconds between the snapshots and backgrounds written under way.
SAVE_EVERY = 10.0
# Seconds that what trains own models has to end, after everything else has.
LEARNER_WITHIN = 1.0
# Seconds in which the last events are sent.
NOTIFY_WITHIN = 1.0
# Seconds between looks at whether everything is alive.
BEAT = 0.5
# Seconds a batch may take before the program counts as hanging.
STUCK = 30.0


class _Timer:
    """Says every ``every`` seconds that something is due, from ``now`` on (monotonic seconds)."""

    def __init__(self, every: float, now: float) -> None:
        self._every = every
        self.at = now + every
        """When it is due next."""

    def due(self, now: float) -> bool:
        """Whether it is due; what was missed is not made up for."""
        if now < self.at:
            return False
        self.at = max(self.at + self._every, now)
        return True


Report = Callable[[Sequence[CameraStatus], float], None]


def run(
    config: Config,
    *,
    engines: Mapping[Path, Engine],
    detectors: Mapping[DetectorChoice, Detector] | None = None,
    duration: float | None = None,
    report: Report | None = None,
    report_every: float = 1.0,
    reload: Callable[[], Setup] | None = None,
    renew: Callable[[Config], Setup] | None = None,
    commands: CommandQueue | None = None,
    clock: Clock | None = None,
    notifier: Notifier | None = None,
) -> Outcome:
    """Run all cameras until their sources end, ``duration`` seconds have passed, or ``"stop"`` is commanded.

    Args:
        config, engines, detectors: see ``Setup``.
        duration: seconds, from when the last of the cameras is opened; None for no limit.
        report: called every ``report_every`` seconds, and at the end, with the cameras' states and the seconds
            since the start.
        report_every: seconds.
        reload: called in a thread of its own on the command ``"reload"``; what it returns takes the place of what
            runs, camera by camera. Raises ConfigError to leave everything as it is.
        renew: the same of the present configuration, with the own models that are to serve now; without it no camera
            learns.
        commands: where ``"stop"`` and ``"reload"`` may come from; see ``signals``.
        clock: time.
        notifier: tells systemd.

    Raises:
        WebError: the configuration's ``http`` port cannot be had.
    """
    setup = Setup(config, engines, detectors or {})
    runtime = Runtime(setup, reload=reload, renew=renew, commands=commands, clock=clock, notifier=notifier)
    return runtime.run(duration=duration, report=report, report_every=report_every)


class Runtime(RunView):
    """All cameras and their workers; ``run`` and ``RunView`` say what it takes. Any thread may look, one ``run``s."""

    def __init__(
        self,
        setup: Setup,
        *,
        reload: Callable[[], Setup] | None = None,
        renew: Callable[[Config], Setup] | None = None,
        commands: CommandQueue | None = None,
        clock: Clock | None = None,
        notifier: Notifier | None = None,
        adder: CameraAdder | None = None,
        listener: Publish | None = None,  # told of all that happens, from the making of the cameras on
    ) -> None:
        self._config = setup.config
        self._renew = renew
        self._commands = commands = commands or CommandQueue()
        self._clock = clock = clock or SystemClock()
        self._notifier = notifier or Notifier()
        self._stop, self._ready = threading.Event(), threading.Condition()
        self._budget = RestartBudget()
        self._running = False
        self._beat_at = self._clock.monotonic()
        self._recorded = RecordedFiles()
        self._bus = EventBus(to_log, self._recorded.note, *([] if listener is None else [listener]))
        publish = self._bus.publish
        events = EventCounter()
        learner = Learner(renew=lambda: commands.put("renew"), publish=publish, clock=clock)
        self._notifications = Notifications(self, publish=publish, clock=clock)
        # Before there are cameras, which publish while they are made.
        reports = NightReports(self, clock=clock, publish=publish)
        for subscriber in (events.count, learner.note, self._notifications.note, reports.note):
            self._bus.subscribe(subscriber)
        super().__init__(
            Cameras(setup, ready=self._ready, commands=commands, publish=publish, clock=clock),
            FirstEngines(stop=self._stop, commands=commands, publish=publish, clock=clock),
            learner,
            events,
            adder=adder,
            commands=commands,
        )
        self.endpoint = HttpEndpoint(lambda settings: web_app(settings, self, self), publish)
        """Where it is served over HTTP."""
        self._saver = PictureSaver(reports)
        self._overload = OverloadWatch(publish)
        self._reload = Reload(
            reload,
            prepare=lambda setup: prepare_all(self._cameras.swaps(setup), publish),
            apply=self._change,
            commands=commands,
            publish=publish,
            notifier=self._notifier,
        )
        self._pool = self._new_pool()

    def frame_seconds(self) -> dict[str, float]:
        """What one frame of each camera, by name, usually takes its engine, where that is known."""
        return self._pool.frame_seconds()

    def beating(self) -> bool:
        """Whether the workers are alive and not stuck in a batch, and the watch over the threads goes on."""
        now = self._clock.monotonic()
        workers = not self._running or (self._pool.is_alive() and now - self._pool.beat_at < STUCK)
        return workers and now - self._beat_at < STUCK

    def run(self, *, duration: float | None, report: Report | None, report_every: float) -> Outcome:
        """See the function ``run``."""
        try:
            self.endpoint.serve(self._config.http)
        except WebError:
            self._cameras.finish_outputs()
            raise
        try:
            self._notifications.serve(self._config)
            return self._run(duration, report, report_every)
        finally:
            self._notifications.close(NOTIFY_WITHIN)
            self.endpoint.serve(None)

    def _run(self, duration: float | None, report: Report | None, report_every: float) -> Outcome:
        self._beat_at = started = self._clock.monotonic()
        self._pool.start()
        self._running = True
        self._learn()  # it wants to hear what happens to cameras from the first on
        self._cameras.start()
        self._first.start(self._cameras)
        self._notifier.ready()
        cause = self._watch(started, duration, report, report_every)
        self._notifier.stopping()
        problems, clean = self._end(cause)
        final = self.cameras()
        if report is not None:
            report(final, self._clock.monotonic() - started)
        files = (*self._recorded.present(), *sorted(self._saver.files))
        return Outcome(cause, tuple(problems), files, final, clean)

    def _end(self, cause: Cause) -> tuple[list[str], bool]:
        """End everything; what was not put right, and whether all threads ended."""
        self._learner.stop()
        problems, clean = shut_down(
            cause,
            cameras=self._cameras,
            pool=self._pool,
            stop=self._stop,
            commands=self._commands,
            publish=self._bus.publish,
            clock=self._clock,
        )
        ended = self._reload.thread_ended and self._first.thread_ended
        clean = clean and ended and self._learner.join(LEARNER_WITHIN)
        return problems, save_last(self._cameras, self._pool, self._saver, self._bus.publish) and clean

    def _watch(
        self, started: float, duration: float | None, report: Report | None, report_every: float
    ) -> Cause:
        """Wait for what ends the run; watch over the threads, report and save pictures meanwhile."""
        now = started
        limit = float("inf") if duration is None else duration
        end = float("inf") if any(camera.waits for camera in self._cameras) else started + limit
        beat_every = min(BEAT, self._notifier.watchdog_every or BEAT)
        reports, saves, beats = (_Timer(every, started) for every in (report_every, SAVE_EVERY, beat_every))
        while True:
            command = self._commands.get(min(reports.at, saves.at, beats.at, end) - now)
            now = self._clock.monotonic()
            if command == "stop":
                return "signal"
            if command == "reload":
                self._reload.start()
            elif command == "renew" and self._renew is not None:
                self._reload.start(partial(self._renew, self._config))
            elif command == "reloaded":
                self._reload.finish()
            elif command == "engine_built":
                self._first.finish(self._cameras, self._pool)
                if self._first.done and end == float("inf"):
                    end = self._clock.monotonic() + limit
            elif command == "probation_ended":
                end_probations(self._cameras, self._pool, self._bus.publish)
            if not self._mend():
                return "failed"
            if not self._reload.under_way and all(camera.ended for camera in self._cameras):
                return "finished"
            if now >= end:
                return "duration"
            if reports.due(now) and report is not None:
                report(self.cameras(), now - started)
            if saves.due(now) and not self._saver.busy:
                self._saver.save(self._cameras)
            if beats.due(now):
                self._beat_at = now
                if self.beating():
                    self._notifier.alive()
                if self._overload.due(now):
                    self._overload.look(self.cameras(), now=now, frame_seconds=self._pool.frame_seconds())
                self._room.watch(self, now=now, pool=self._pool, reloading=self._reload.under_way)

    def _mend(self) -> bool:
        """Start again what died of a fault of ours; False when that happens too often."""
        if not self._pool.is_alive():
            if not self._budget.take(self._clock.monotonic()):
                return False
            detail = f"{failure_of(self._pool)}; starting them again"
            self._bus.publish(Notice(name="restarted", detail=detail, level="error"))
            self._pool = self._new_pool()
            self._pool.start()
        return all(camera.mend() for camera in self._cameras)

    def _new_pool(self) -> WorkerPool:
        return WorkerPool(
            self._cameras.channels(),
            ready=self._ready,
            max_batch=self._config.engine.max_batch,
            stop=self._stop,
            batches=self.batches,
            publish=self._bus.publish,
            clock=self._clock,
            on_end=lambda: self._commands.put("ended"),
        )

    def _learn(self) -> None:
        """Look after the own models of the cameras that are to have one."""
        if self._renew is not None:
            self._learner.use(learning_cameras(self._config), self._config.learning)

    def _change(self, setup: Setup) -> str | None:
        """Put ``setup`` in place of what runs; what that changed, or None if it was refused."""
        try:
            self.endpoint.change(setup.config.http)
        except WebError as error:
            self._reload.refuse([str(error)])
            self.endpoint.restore()
            return None
        self._config = setup.config
        self._learn()
        self._notifications.serve(setup.config)
        save = partial(self._saver.save, final=True, within=CHANGE_WITHIN)
        changed = str(self._cameras.change(setup, self._pool, save))
        self._first.add(self._cameras)
        return changed
