"""Starts the cameras, watches over them, changes them under way, and ends them in good order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nightday.engines.backends.base import EngineInfo

from ..config.errors import ConfigError
from ..config.schema import CameraConfig, Config, HttpConfig
from ..core.camera_url import CameraUrl, redact
from ..core.clock import Clock, SystemClock
from ..core.counters import BATCH_BOUNDS, Histogram
from ..core.restart_budget import RestartBudget
from ..media.ffmpeg import open_input
from ..monitoring.http_server import WebError, WebServer
from ..monitoring.status_text import CameraStatus
from ..outputs.mp4.recordings import recordings
from ..serving.probation import Probation
from ..translation.channel import Channel, Detector
from ..translation.engine_call import Translate
from ..translation.warm_up import prepare
from ..translation.worker_pool import WorkerPool
from .camera import Camera
from .commands import CommandQueue
from .engine_swap import SETTLED, begin, change, find_swaps, prepare_all, settle
from .systemd import Notifier

log = logging.getLogger(__name__)

SAVE_EVERY = 10.0  # seconds between the snapshots and backgrounds written under way
SAVE_WITHIN = 10.0  # seconds the last ones may take before they are given up
BEAT = 0.5  # seconds between looks at whether everything is alive
WARM_WITHIN = 600.0  # seconds engines may take to compile at the start
STUCK = 30.0  # seconds a batch may take before the program counts as hanging
STOP_WITHIN = 4.5  # seconds from a signal until every file is closed; 5 are promised
FINISH_WITHIN = 60.0  # seconds the outputs have for their last pictures when the sources ended by themselves
CHANGE_WITHIN = 3.0  # seconds the outputs of a changed camera have before its successor starts beside them
WEB_WITHIN = 2.0  # seconds the HTTP server has to end
POOL_SHARE = 0.5  # of the time for stopping, what the loop has for the batch at hand

Cause = Literal["finished", "duration", "signal", "failed"]
Report = Callable[[Sequence[CameraStatus], float], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration and what it needs.

    Attributes:
        config: what to run.
        engines: the generator of each checkpoint the cameras name.
        detectors: the detector of each model they name.
    """

    config: Config
    engines: Mapping[Path, Translate]
    detectors: Mapping[Path, Detector] = field(default_factory=dict)

    def engine_of(self, camera: CameraConfig) -> Translate | None:
        """The generator of an entry; None where nothing is translated."""
        return self.engines[camera.model] if camera.translate != "never" and camera.model else None

    def detector_of(self, camera: CameraConfig) -> Detector | None:
        """The detector of an entry, if any."""
        return self.detectors[camera.detect] if camera.detect else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        cause: what ended it: all sources at their end, the time limit, a signal, or a failure of the program.
        problems: one line for each thing that went wrong and was not put right.
        files: what was written.
        cameras: each camera at the end.
        clean: whether every thread ended; if not, only ``os._exit`` is sure to end the process.
    """

    cause: Cause
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    cameras: tuple[CameraStatus, ...]
    clean: bool


def run(
    config: Config,
    *,
    engines: Mapping[Path, Translate],
    detectors: Mapping[Path, Detector] | None = None,
    duration: float | None = None,
    report: Report | None = None,
    report_every: float = 1.0,
    reload: Callable[[], Setup] | None = None,
    commands: CommandQueue | None = None,
    clock: Clock | None = None,
    notifier: Notifier | None = None,
) -> Outcome:
    """Run all cameras until their sources end, ``duration`` seconds have passed, or ``"stop"`` is in the inbox.

    Args:
        config, engines, detectors: see ``Setup``.
        duration: seconds, from when the cameras are opened; None for no limit.
        report: called every ``report_every`` seconds, and at the end, with the cameras' states and the seconds
            since the start.
        report_every: seconds.
        reload: called in a thread of its own on ``"reload"`` in the inbox; what it returns takes the place of what
            runs, camera by camera. Raises ConfigError to leave everything as it is.
        inbox: where ``"stop"`` and ``"reload"`` may come from; see ``signals``.
        clock: time.
        notifier: tells systemd.

    Raises WebError if the configuration's ``http`` port cannot be had.
    """
    runtime = Runtime(
        Setup(config, engines, detectors or {}),
        reload=reload,
        commands=commands,
        clock=clock,
        notifier=notifier,
    )
    return runtime.run(duration=duration, report=report, report_every=report_every)


class Runtime:
    """All cameras and the loop they share. ``run`` is for one thread; what is seen from outside for any.

    See ``run`` for the arguments.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        reload: Callable[[], Setup] | None = None,
        commands: CommandQueue | None = None,
        clock: Clock | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._config = setup.config  # the engines belong to the lines alone, that those swapped out can go
        self._reload = reload
        self._commands = commands or CommandQueue()
        self._clock = clock or SystemClock()
        self._notifier = notifier or Notifier()
        self._stop = threading.Event()
        self._ready = threading.Condition()
        self._budget = RestartBudget()
        self._warm = False
        self._beat_at = self._clock.monotonic()
        self._web: WebServer | None = None
        self._served: HttpConfig | None = None  # what it listens by
        self.batches = Histogram(BATCH_BOUNDS)
        """Frames given to an engine at once."""
        self._reloading: threading.Thread | None = None
        self._reload_again = False
        self._next_setup: Setup | ConfigError | Exception | None = None
        self._pictures: set[Path] = set()
        self._saving = threading.Lock()  # one at a time, lest an old checkpoint takes the place of a new one
        self._before = recordings(_outputs(setup.config))
        self._files: set[Path] = set()
        self._retired: list[Camera] = []
        self._cameras: dict[str, Camera] = {}
        self._cameras = {camera.name: self._camera(camera, setup) for camera in setup.config.cameras}
        self._channels: dict[str, Channel] = {name: camera.channel for name, camera in self._cameras.items()}
        self._pool = self._new_pool()

    # --- seen from outside ----------------------------------------------------------------------------------

    def cameras(self) -> tuple[CameraStatus, ...]:
        """Every camera's state now, in the configuration's order."""
        return tuple(camera.status() for camera in self._cameras.values())

    def engines(self) -> list[EngineInfo]:
        """The engines that serve."""
        engines = {
            id(camera.channel.engine): camera.channel.engine for camera in self._cameras.values()
        }.values()
        return [info for engine in engines if isinstance(info := getattr(engine, "info", None), EngineInfo)]

    def sizes(self) -> dict[str, tuple[int, int]]:
        """(height, width) of the last frame of each camera that has a generator and has sent one."""
        channels = [camera.channel for camera in self._cameras.values()]
        return {
            channel.name: channel.size for channel in channels if channel.size and channel.engine is not None
        }

    def engines_ready(self) -> bool:
        """Whether every engine has been made ready for what was known of the cameras at the start."""
        return self._warm

    def beating(self) -> bool:
        """Whether the loop is alive and not stuck in a batch, and the watch over the threads goes on."""
        now = self._clock.monotonic()
        if not self._warm:  # the loop starts after that
            return now - self._beat_at < WARM_WITHIN
        return self._pool.is_alive() and now - self._pool.beat_at < STUCK and now - self._beat_at < STUCK

    # --- the run --------------------------------------------------------------------------------------------

    def run(self, *, duration: float | None, report: Report | None, report_every: float) -> Outcome:
        """See the function ``run``."""
        try:
            self._serve(self._config.http)
        except WebError:
            for camera in self._cameras.values():
                camera.finish_outputs()
            raise
        try:
            return self._run(duration, report, report_every)
        finally:
            self._serve(None)

    def _run(self, duration: float | None, report: Report | None, report_every: float) -> Outcome:
        if not self._warm_up():
            for camera in self._cameras.values():
                camera.finish_outputs()
            return Outcome("signal", (), (), self.cameras(), clean=False)
        started = self._clock.monotonic()
        self._beat_at = started
        self._warm = True
        self._pool.start()
        for camera in self._cameras.values():
            camera.start()
        self._notifier.ready()
        cause = self._watch(started, duration, report, report_every)
        self._notifier.stopping()
        problems, clean = self._end(cause)
        for camera in self._cameras.values():
            if camera.channel.background is not None and not self._pool.is_alive():
                camera.channel.background.settle()
        if not self._save(self._cameras.values(), final=True, within=SAVE_WITHIN):
            clean = False
            log.warning("pictures are not saved: the disk does not answer", extra={"event": "save_failed"})
        final = self.cameras()
        if report is not None:
            report(final, self._clock.monotonic() - started)
        if cause in ("finished", "duration"):  # a signal may come before a camera had the time
            problems += self._without_pictures()
            if not any(camera.pictures for camera in final):
                problems.append("no camera delivered a single picture")
        files = sorted(recordings(_outputs(self._config)) - self._before | self._files)
        return Outcome(cause, tuple(problems), (*files, *sorted(self._pictures.copy())), final, clean)

    def _watch(
        self, started: float, duration: float | None, report: Report | None, report_every: float
    ) -> Cause:
        """Wait for what ends the run; watch over the threads, report and save pictures meanwhile."""
        now = started
        end = float("inf") if duration is None else started + duration
        beat_every = min(BEAT, self._notifier.watchdog_every or BEAT)
        next_report, next_save, next_beat = started + report_every, started + SAVE_EVERY, started + beat_every
        while True:
            word = self._commands.get(min(next_report, next_save, next_beat, end) - now)
            now = self._clock.monotonic()
            if word == "stop":
                return "signal"
            if word == "reload":
                self._start_reload()
            elif word == "reloaded":
                self._apply_reload()
            elif word == SETTLED:
                settle(self._cameras.values(), self._pool)
            if not self._mend():
                return "failed"
            if self._reloading is None and all(camera.ended for camera in self._cameras.values()):
                return "finished"
            if now >= end:
                return "duration"
            if now >= next_report:
                next_report = max(next_report + report_every, now)
                if report is not None:
                    report(self.cameras(), now - started)
            if now >= next_save:
                if not self._saving.locked():
                    self._save(self._cameras.values())
                next_save = now + SAVE_EVERY
            if now >= next_beat:
                next_beat = now + beat_every
                self._beat_at = now
                if self.beating():
                    self._notifier.alive()

    def _mend(self) -> bool:
        """Start again what died of a fault of ours; False when that happens too often."""
        if not self._pool.is_alive():
            if not self._budget.take(self._clock.monotonic()):
                return False
            log.error("%s; starting it again", self._pool_failure(), extra={"event": "restarted"})
            self._pool = self._new_pool()
            self._pool.start()
        return all(camera.mend() for camera in self._cameras.values())

    def _save(self, cameras: Iterable[Camera], *, final: bool = False, within: float = 0.0) -> bool:
        """Write pictures in a thread of its own, since a disk may hang; whether that was done ``within`` seconds."""
        channels = [camera.channel for camera in cameras]

        def work() -> None:
            with self._saving:
                for channel in channels:
                    self._pictures.update(channel.save_pictures(final=final))

        thread = threading.Thread(target=work, name="save", daemon=True)
        thread.start()
        thread.join(within)
        return not thread.is_alive()

    def _pool_failure(self) -> str:
        error = self._pool.error
        return f"the loop failed: {type(error).__name__}: {redact(' '.join(str(error).split()))}"

    def _new_pool(self) -> WorkerPool:
        return WorkerPool(
            self._channels,
            ready=self._ready,
            max_batch=self._config.engine.max_batch,
            stop=self._stop,
            batches=self.batches,
            clock=self._clock,
            on_end=lambda: self._commands.put("ended"),
        )

    def _camera(self, config: CameraConfig, setup: Setup, before: Camera | None = None) -> Camera:
        engine = setup.engine_of(config)
        for other in self._cameras.values():  # what is on probation elsewhere is so here
            trial = other.channel.engine
            if isinstance(trial, Probation) and (trial.model, trial.engine) == (config.model, engine):
                engine = trial
        return Camera(
            config,
            engine=engine,
            detect=setup.detector_of(config),
            ready=self._ready,
            commands=self._commands,
            clock=self._clock,
            stats=before.channel.stats if before else None,
        )

    def _serve(self, settings: HttpConfig | None) -> None:
        """Listen as ``settings`` say from now on, or not at all. Raises WebError if that port cannot be had."""
        if self._web is not None:
            self._web.close(WEB_WITHIN)
            self._web = self._served = None
        if settings is not None:
            server = WebServer(settings, self)
            server.start()
            self._web, self._served = server, settings

    # --- at the start ---------------------------------------------------------------------------------------

    def _warm_up(self) -> bool:
        """Have each engine compile for the sizes of the files it will be given; False if told to stop meanwhile.

        It takes about a second, in which a file at its own pace would lose 25 frames. What a camera on the network
        will send is not known before it is opened: the loop has that prepared beside the others.
        """

        def work() -> None:
            try:
                for camera in list(self._cameras.values()):
                    _prepare_for_file(camera.channel)
            finally:
                self._commands.put("warm")

        threading.Thread(target=work, name="warm-up", daemon=True).start()
        reload = False
        while (word := self._commands.get(60.0)) != "warm":
            if word == "stop":
                return False
            reload |= word == "reload"
        if reload:  # once there is something to change
            self._commands.put("reload")
        return True

    # --- a change of the configuration ----------------------------------------------------------------------

    def _start_reload(self) -> None:
        """Have the configuration read, and what it needs made ready, in a thread of its own.

        Models take seconds to load, some engines minutes to be built.
        """
        if self._reload is None:
            return
        if self._reloading is not None:
            self._reload_again = True  # the file may have been read before it was changed
            return
        self._notifier.reloading()
        reload = self._reload

        def work() -> None:
            try:
                setup = reload()
                prepare_all(find_swaps(self._cameras, setup))
                self._next_setup = setup
            except Exception as error:
                self._next_setup = error
            self._commands.put("reloaded")

        self._reloading = threading.Thread(target=work, name="reload", daemon=True)
        self._reloading.start()

    def _apply_reload(self) -> None:
        setup, self._next_setup, self._reloading = self._next_setup, None, None
        if isinstance(setup, Setup):
            self._change(setup)
        else:
            faults = setup.faults if isinstance(setup, ConfigError) else [f"{type(setup).__name__}: {setup}"]
            for fault in faults:
                log.error("not reloaded: %s", fault, extra={"event": "reload_refused"})
        self._notifier.ready()
        if self._reload_again:
            self._reload_again = False
            self._start_reload()

    def _change(self, setup: Setup) -> None:
        """Put ``setup`` in place of what runs: cameras it says nothing new of are not touched.

        Those with another engine and nothing else go on with that.
        """
        before_http = self._served
        if setup.config.http != before_http:
            try:
                self._serve(setup.config.http)
            except WebError as error:
                log.error("not reloaded: %s", error, extra={"event": "reload_refused"})
                try:
                    self._serve(before_http)
                except WebError as lost:  # taken meanwhile: the cameras go on without, until the next reload
                    log.error("%s", lost, extra={"event": "http_lost"})
                return
        before = self._cameras
        kept = {
            config.name
            for config in setup.config.cameras
            if config.name in before and change(before[config.name], config, setup) != "more"
        }
        swaps = find_swaps(before, setup)
        begin(
            swaps, cameras=list(before.values()), pool=self._pool, clock=self._clock, commands=self._commands
        )
        gone = [camera for name, camera in before.items() if name not in kept]
        for camera in gone:
            camera.stop_reading()
            self._pool.remove(camera.name)
            camera.finish_outputs()
        deadline = self._clock.monotonic() + CHANGE_WITHIN
        # What they wrote is told at the end, though their outputs may no longer be in the configuration.
        self._retired = [camera for camera in [*self._retired, *gone] if not camera.join(deadline)]
        self._save(gone, final=True, within=CHANGE_WITHIN)  # their successors begin with it
        self._files |= recordings(_outputs(self._config)) - self._before
        self._before |= recordings(_outputs(setup.config)) - self._files
        self._config = setup.config
        self._cameras = {
            config.name: before[config.name]
            if config.name in kept
            else self._camera(config, setup, before.get(config.name))
            for config in setup.config.cameras
        }
        self._pool.batcher.max_batch = setup.config.engine.max_batch
        for name, camera in self._cameras.items():
            if name not in kept:
                self._pool.add(camera.channel)
                camera.start()
        swapped = sum(len(swap.cameras) for swap in swaps)
        added = len(self._cameras.keys() - before.keys())
        removed = len(before.keys() - self._cameras.keys())
        log.info(
            "reloaded: %d cameras changed, %d added, %d removed, %d untouched%s",
            len(gone) - removed, added, removed, len(kept) - swapped,
            f", {swapped} given another engine" if swapped else "", extra={"event": "reloaded"},
        )  # fmt: skip

    # --- at the end -----------------------------------------------------------------------------------------

    def _end(self, cause: Cause) -> tuple[list[str], bool]:
        """Stop readers and loop, let the outputs finish; what was not put right, and whether all threads ended."""
        problems = [camera.problem for camera in self._cameras.values() if camera.problem]
        cameras = [*self._cameras.values(), *self._retired]
        in_time = cause == "finished"
        if not in_time:
            self._stop_all()
        self._pool.finish()
        while in_time and self._pool.is_alive():  # it works off the last frames, unless told to stop
            self._pool.join(0.05)
            in_time = self._commands.get(0) != "stop"
        self._stop_all()
        deadline = self._clock.monotonic() + (FINISH_WITHIN if in_time else STOP_WITHIN)
        self._pool.join(STOP_WITHIN * POOL_SHARE)
        for camera in cameras:
            camera.finish_outputs()
        for camera in cameras:
            camera.join(deadline)
            problems += [
                f"{camera.name}: output {output.event.output} could not be closed in time"
                for output in camera.channel.outputs
                if output.is_alive()
            ]
        if (
            cause != "signal"
        ):  # whoever stops a camera for good knows what the log says of a server that is away
            problems += [
                f"{event.camera}: output {event.output} failed ({event.reason}: {event.detail})"
                for camera in self._cameras.values()
                for event in camera.channel.troubles.values()
            ]
        if self._pool.is_alive():
            log.warning(
                "the batch at hand is lost: the engine did not return in time", extra={"event": "batch_lost"}
            )
        if self._pool.error is not None:
            problems.append(self._pool_failure())
        for camera in self._cameras.values():
            event = camera.reader.event
            if event.state == "failed":
                problems.append(f"{camera.name}: failed ({event.reason}: {event.detail})")
        threads = [self._pool, *(thread for camera in cameras for thread in camera.threads)]
        if self._reloading is not None:
            threads.append(self._reloading)
        return problems, not any(thread.is_alive() for thread in threads)

    def _stop_all(self) -> None:
        self._stop.set()
        for camera in self._cameras.values():
            camera.stop_reading()

    def _without_pictures(self) -> list[str]:
        """A line for each camera from which nothing came to see, but for those that ended as failed."""
        problems = []
        for camera in self._cameras.values():
            status, event = camera.status(), camera.reader.event
            if status.pictures or status.state == "failed":
                continue
            if not status.stats.decoded:
                why = f"{event.reason}: {event.detail}" if event.reason else "it was still being opened"
                problems.append(f"{camera.name}: never delivered a picture ({why})")
            elif camera.channel.lost:
                text = f"none of its {status.stats.decoded} frames came through ({camera.channel.lost})"
                problems.append(f"{camera.name}: {text}")
        return problems


def _outputs(config: Config) -> list[CameraUrl]:
    return [output for camera in config.cameras for output in camera.outputs]


def _prepare_for_file(channel: Channel) -> None:
    if channel.engine is None or not channel.config.url.is_file:
        return
    with suppress(Exception):  # whatever is wrong with the file, its reader will say
        with open_input(channel.config.url, open_timeout=5.0, stall_timeout=5.0) as container:
            context = container.streams.video[0].codec_context
            width, height = context.width, context.height
        prepare(channel.engine, height, width)
