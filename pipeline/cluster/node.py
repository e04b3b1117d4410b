"""One node's cameras, from source to output: the ordinary runtime with its part of the configuration."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from nightday.engines.distribution import program_version

from ..config.errors import ConfigError
from ..core.clock import Clock, SystemClock
from ..serving.setup import Setup
from ..supervision.runtime import Runtime
from ..supervision.systemd import Notifier
from .costs import Costs
from .fence import Fence, boot_seconds
from .free_memory import free_memory
from .happenings import Happenings
from .messages import Beat, Part, Report
from .part_setup import Build, Load, PartSetups
from .running import END_WITHIN, Ended, Running, with_runtime

# Seconds that cameras which were taken away have to end their outputs. Then they are written no more, ended or not.
RELEASE_WITHIN = 8.0
# Seconds after which cameras that were refused are tried again.
TRY_AGAIN = 15.0
# Seconds between looks at whether the runtime has ended.
LOOK_EVERY = 0.2


class NodeRunner:
    """Runs what it is told. ``beat`` and ``report`` return at once.

    A change of the part is a reload: cameras of which it says nothing new are not touched. Those that have come to
    their end are not begun again.

    Args:
        load, build: load what a part needs.
        fence: what its cameras ask before they write.
        lease_clock: seconds on the fence's clock.
        clock: time.
        happenings: where it is noted what happens; by default in memory alone.
    """

    def __init__(
        self,
        *,
        load: Load,
        build: Build,
        fence: Fence,
        lease_clock: Callable[[], float] = boot_seconds,
        clock: Clock | None = None,
        happenings: Happenings | None = None,
    ) -> None:
        self._fence = fence
        self._lease_clock = lease_clock
        self._clock = clock or SystemClock()
        self._costs = Costs(time.process_time, self._clock.monotonic)
        self._happenings = happenings or Happenings(self._clock)
        self._setups = PartSetups(
            load, build, fence, sizes=self._sizes, again=self._set_up_again, publish=self._happenings.note
        )
        self._changed = threading.Condition()
        self._part: Part | None = None
        self._part_at = 0.0
        self._taken = 0  # the version that was begun with
        self._try_at = float("inf")  # when what was refused is tried again
        self._written: dict[str, int] = {}  # what the fence lets pass
        self._draining = False
        self._running: Running | None = None
        self._over = Ended()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._work, name="part", daemon=True)
        self._thread.start()

    def beat(self, beat: Beat) -> Report:
        """Take what the coordinator tells, and answer how things are."""
        if beat.lease_until is not None:
            self._fence.renew(beat.lease_until)
        self._happenings.taken(beat)
        with self._changed:
            if (part := beat.part) is not None and (self._part is None or part.version > self._part.version):
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
                refused=dict(self._setups.refused),
                apart=self._setups.apart,
                memory=free_memory(),
                problem=self._problem,
                cameras=tuple(self._over.states.values()),
            )
        # After it was looked which cameras have ended, so that their last events are told before they go elsewhere.
        report = self._happenings.told(report)
        return report if runtime is None else with_runtime(report, runtime, self._costs)

    def drain(self) -> Report:
        """End all cameras in good order, and tell what was written."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
        self._thread.join(END_WITHIN)
        late = ["its cameras did not end in time"] if self._thread.is_alive() else []
        report = self.report()
        with self._changed:
            return self._over.last_of(report, late)

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

    def _take(self, part: Part, running: Running | None) -> None:
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
        running = Running(0)
        self._setups.forget()
        setup = self._setup(running)
        if setup is None or not setup.config.cameras:
            return
        runtime = Runtime(
            setup,
            reload=lambda: _there(self._setup(running), self._problem),
            commands=running.commands,
            clock=self._clock,
            notifier=Notifier({}),  # systemd hears of the coordinator alone
            listener=self._happenings.note,
        )
        with self._changed:
            self._running = running
        running.start(runtime, self._wake)

    def _set_up_again(self) -> None:
        self._try_at = self._clock.monotonic()
        self._wake()

    def _sizes(self) -> Mapping[str, tuple[int, int]]:
        """(height, width) of what cameras send."""
        running = self._running
        return {} if running is None or running.runtime is None else running.runtime.sizes()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _setup(self, running: Running) -> Setup | None:
        """What of the newest part can run here; None if nothing can, and the report says why."""
        part = self._part
        assert part is not None
        running.loaded, running.entries = part.version, part.cameras
        setup = self._setups.make(part, without=self._over.among(part))
        if self._setups.refused:
            with self._changed:
                self._try_at = self._clock.monotonic() + TRY_AGAIN
        return setup

    def _stop(self, running: Running) -> None:
        if not running.stop():
            with self._changed:
                self._problem = "its cameras did not end in time"
                self._running = None
        else:
            self._note_end(running)

    def _note_end(self, running: Running) -> None:
        """A runtime has ended: with all its cameras, as told to, or because something of it failed."""
        outcome = running.outcome
        with self._changed:
            self._running = None
            if outcome is None or running.problem is not None:
                self._problem = running.problem
                return
            self._over.note(outcome, running.entries)
            if self._part is not None and running.loaded < self._part.version:
                self._taken = running.loaded  # what came at the last moment was not taken up


def _there(setup: Setup | None, problem: str | None) -> Setup:
    """``setup``. Raises ConfigError where nothing can run here."""
    if setup is None:
        raise ConfigError([problem or "nothing of it can run here"])
    return setup
