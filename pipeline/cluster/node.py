"""One node's cameras, from source to output: the ordinary runtime with its part of the configuration."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nightday.engines.distribution import program_version

from ..config.errors import ConfigError
from ..core.camera_url import redact
from ..core.clock import Clock, SystemClock
from ..core.status import CameraStatus
from ..serving.setup import Setup
from ..supervision.commands import CommandQueue
from ..supervision.outcome import Outcome
from ..supervision.runtime import Runtime
from ..supervision.systemd import Notifier
from .costs import Costs
from .fence import Fence, boot_seconds
from .happenings import Happenings
from .messages import Beat, Part, Report
from .part_setup import Load, enter, setup_of

# Seconds that a runtime has to end, which closes its files within five.
END_WITHIN = 8.0
# Seconds that cameras which were taken away have to end their outputs. Then they are written no more, ended or not.
RELEASE_WITHIN = 8.0
# Seconds after which cameras that were refused are tried again.
TRY_AGAIN = 15.0
# Seconds between looks at whether the runtime has ended.
LOOK_EVERY = 0.2
UNKNOWN = "its cameras ended for no known reason"
# No report is read here: the coordinator asks for them.
_NEVER = 1e9


@dataclass(eq=False)
class _Running:
    """A runtime at work, the newest part that it was given, and how it ended."""

    loaded: int
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    commands: CommandQueue = field(default_factory=CommandQueue)
    runtime: Runtime | None = None
    thread: threading.Thread | None = None
    outcome: Outcome | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        return self.thread is not None and not self.thread.is_alive()

    @property
    def problem(self) -> str | None:
        """Why it has ended, where that was for a fault of its own."""
        if self.outcome is None:
            return self.error or UNKNOWN
        return None if self.outcome.cause != "failed" else "; ".join(self.outcome.problems) or UNKNOWN

    def start(self, runtime: Runtime, on_end: Callable[[], None]) -> None:
        """Run ``runtime`` in a thread of its own; ``on_end`` is called in it."""
        self.runtime = runtime

        def work() -> None:
            try:
                self.outcome = runtime.run(duration=None, report=None, report_every=_NEVER)
            except Exception as error:
                self.error = redact(f"{type(error).__name__}: {' '.join(str(error).split())}")
            on_end()

        self.thread = threading.Thread(target=work, name="runtime", daemon=True)
        self.thread.start()

    def stop(self) -> bool:
        """End it; whether that was done in time."""
        assert self.thread is not None
        self.commands.put("stop")
        self.thread.join(END_WITHIN)
        return not self.thread.is_alive()


class _Ended:
    """The cameras that have come to their end, which are not begun again unless they are changed."""

    def __init__(self) -> None:
        self._states: dict[str, CameraStatus] = {}
        self._entries: dict[str, Mapping[str, Any]] = {}  # as they were then

    @property
    def states(self) -> Mapping[str, CameraStatus]:
        """How each of them was at its end, by name."""
        return self._states

    def add(self, cameras: Iterable[CameraStatus], entries: Mapping[str, Mapping[str, Any]]) -> None:
        """``cameras`` have ended, whose ``entries`` in the configuration were these."""
        self._states |= {camera.name: camera for camera in cameras}
        self._entries |= entries

    def among(self, part: Part) -> frozenset[str]:
        """Those of a part that were not changed since."""
        return frozenset(name for name in self._states if part.cameras.get(name) == self._entries.get(name))

    def keep(self, names: Collection[str]) -> None:
        """Forget the others."""
        self._states = {name: state for name, state in self._states.items() if name in names}


def _with_runtime(report: Report, runtime: Runtime, costs: Costs) -> Report:
    """``report``, and how what runs is."""
    cameras = runtime.cameras()
    present = {camera.name for camera in cameras}
    return replace(
        report,
        cameras=(*cameras, *(one for one in report.cameras if one.name not in present)),
        costs=costs.measure(cameras, runtime.frame_seconds()),
        address=runtime.endpoint.address,
        engines=tuple(runtime.engines()),
        engines_ready=runtime.engines_ready(),
        beating=runtime.beating(),
        batches=runtime.batches.snapshot(),
        events=runtime.events.snapshot(),
    )


class NodeRunner:
    """Runs what it is told. ``beat`` and ``report`` return at once.

    A change of the part is a reload: cameras of which it says nothing new are not touched. Those that have come to
    their end are not begun again.

    Args:
        load: loads what a part needs.
        fence: what its cameras ask before they write.
        lease_clock: seconds on the fence's clock.
        clock: time.
    """

    def __init__(
        self,
        *,
        load: Load,
        fence: Fence,
        lease_clock: Callable[[], float] = boot_seconds,
        clock: Clock | None = None,
    ) -> None:
        self._load = load
        self._fence = fence
        self._lease_clock = lease_clock
        self._clock = clock or SystemClock()
        self._costs = Costs(time.process_time, self._clock.monotonic)
        self._happenings = Happenings(self._clock)
        self._changed = threading.Condition()
        self._part: Part | None = None
        self._part_at = 0.0
        self._taken = 0  # the version that was begun with
        self._try_at = float("inf")  # when what was refused is tried again
        self._written: dict[str, int] = {}  # what the fence lets pass
        self._draining = False
        self._running: _Running | None = None
        self._over = _Ended()
        self._refused: Mapping[str, str] = {}
        self._problem: str | None = None
        self._outcomes: list[Outcome] = []
        self._last: dict[str, CameraStatus] = {}  # cameras at the end of all
        self._thread = threading.Thread(target=self._work, name="part", daemon=True)
        self._thread.start()

    def beat(self, beat: Beat) -> Report:
        """Take what the coordinator tells, and answer how things are."""
        if beat.lease_until is not None:
            self._fence.renew(beat.lease_until)
        self._happenings.taken(beat.told_to)
        part = beat.part
        with self._changed:
            if part is not None and (self._part is None or part.version > self._part.version):
                self._part, self._part_at = part, self._clock.monotonic()
                # Cameras that are to go are written until they have ended in good order.
                self._written |= part.epochs
                self._changed.notify_all()
        return self.report()

    def report(self) -> Report:
        """How things are."""
        with self._changed:
            runtime = self._running.runtime if self._running is not None else None
            self._release(runtime)
            report = Report(
                stamp=self._lease_clock(),
                version=0 if self._part is None else self._part.version,
                written=dict(self._written),
                program=program_version(),
                refused=dict(self._refused),
                problem=self._problem,
                cameras=tuple(self._over.states.values()),
            )
        # After it was looked which cameras have ended, so that their last events are told before they go elsewhere.
        report = replace(report, happened=self._happenings.next())
        return report if runtime is None else _with_runtime(report, runtime, self._costs)

    def drain(self) -> Report:
        """End all cameras in good order, and tell what was written."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
        self._thread.join(END_WITHIN)
        with self._changed:
            cameras = tuple({**self._last, **self._over.states}.values())
            files = {path for outcome in self._outcomes for path in outcome.files}
            problems = [line for outcome in self._outcomes for line in outcome.problems]
        if self._thread.is_alive():
            problems.append("its cameras did not end in time")
        problem = "; ".join(problems) or None
        return replace(self.report(), cameras=cameras, files=tuple(sorted(files)), problem=problem)

    def _release(self, runtime: Runtime | None) -> None:
        """Have the fence let pass what the part names, and what went with it until that has ended."""
        part = self._part
        if part is None:
            return
        still = {} if runtime is None else runtime.written()
        late = self._clock.monotonic() - self._part_at > RELEASE_WITHIN
        self._written = {
            name: epoch
            for name, epoch in self._written.items()
            if part.epochs.get(name) == epoch or (still.get(name) == epoch and not late)
        }
        self._fence.keep(self._written)

    def _work(self) -> None:
        """Bring what runs in line with the part, again and again."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, LOOK_EVERY)
                part, running, draining = self._part, self._running, self._draining
            if running is not None and running.ended:
                self._note_end(running)
            elif draining:
                if running is None:
                    return
                self._stop(running)
            elif part is not None and self._is_due(part):
                self._take(part, running)

    def _has_work(self) -> bool:
        new = self._part is not None and self._is_due(self._part)
        return self._draining or new or (self._running is not None and self._running.ended)

    def _is_due(self, part: Part) -> bool:
        return part.version > self._taken or self._clock.monotonic() >= self._try_at

    def _take(self, part: Part, running: _Running | None) -> None:
        over = self._over.among(part)
        wanted = part.cameras.keys() - over
        self._taken, self._try_at = part.version, float("inf")
        with self._changed:
            self._over.keep(over)
        if running is None:
            if wanted:
                self._start()
        elif wanted:
            running.commands.put("reload")
        else:
            self._stop(running)

    def _start(self) -> None:
        running = _Running(0)
        setup = self._setup(running)
        if setup is None or not setup.config.cameras:
            return
        runtime = Runtime(
            setup,
            reload=lambda: self._reloaded(running),
            commands=running.commands,
            clock=self._clock,
            notifier=Notifier({}),  # systemd hears of the coordinator alone
            listener=self._happenings.note,
        )
        with self._changed:
            self._running = running
        running.start(runtime, self._wake)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _reloaded(self, running: _Running) -> Setup:
        setup = self._setup(running)
        if setup is None:
            raise ConfigError([self._problem or "nothing of it can run here"])
        return setup

    def _setup(self, running: _Running) -> Setup | None:
        """What of the newest part can run here; None if nothing can, and the report says why."""
        part = self._part
        assert part is not None
        running.loaded, running.entries = part.version, part.cameras
        fault = enter(part.folder)
        try:
            made = None if fault else setup_of(part, self._load, self._fence, without=self._over.among(part))
        except Exception as error:  # whatever is wrong here, other nodes may do it
            made, fault = None, redact(f"{type(error).__name__}: {' '.join(str(error).split())}")
        with self._changed:
            self._refused = dict.fromkeys(part.cameras, fault or "") if made is None else made.refused
            if self._refused:
                self._try_at = self._clock.monotonic() + TRY_AGAIN
        return None if made is None else made.setup

    def _stop(self, running: _Running) -> None:
        if not running.stop():
            with self._changed:
                self._problem = "its cameras did not end in time"
                self._running = None
        else:
            self._note_end(running)

    def _note_end(self, running: _Running) -> None:
        """A runtime has ended: with all its cameras, as told to, or because something of it failed."""
        outcome = running.outcome
        with self._changed:
            self._running = None
            if outcome is None or running.problem is not None:
                self._problem = running.problem
                return
            self._outcomes.append(outcome)
            self._last = {camera.name: camera for camera in outcome.cameras}
            if outcome.cause == "finished":
                self._over.add(outcome.cameras, running.entries)
            if self._part is not None and running.loaded < self._part.version:
                self._taken = running.loaded  # what came at the last moment was not taken up
