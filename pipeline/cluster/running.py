"""What runs on a node at present: a runtime in a thread of its own, and the cameras that have come to their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.camera_url import redact
from ..core.status import CameraStatus
from ..supervision.commands import CommandQueue
from ..supervision.outcome import Outcome
from ..supervision.runtime import Runtime
from .costs import Costs
from .messages import Part, Report

# Seconds that a runtime has to end, which closes its files within five.
END_WITHIN = 8.0
UNKNOWN = "its cameras ended for no known reason"
# No report is read here: the coordinator asks for them.
_NEVER = 1e9


@dataclass(eq=False)
class Running:
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
        """Whether it has ended."""
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


class Ended:
    """The cameras that have come to their end, which are not begun again unless they are changed; and what runtimes
    came to that have ended.
    """

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self._last: dict[str, CameraStatus] = {}
        self._states: dict[str, CameraStatus] = {}
        self._entries: dict[str, Mapping[str, Any]] = {}  # as they were then

    @property
    def states(self) -> Mapping[str, CameraStatus]:
        """How each of them was at its end, by name."""
        return self._states

    def note(self, outcome: Outcome, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """A runtime has ended with ``outcome``, for which the configuration had these ``entries``."""
        self._outcomes.append(outcome)
        self._last = {camera.name: camera for camera in outcome.cameras}
        if outcome.cause == "finished":
            self.add(outcome.cameras, entries)

    def last_of(self, report: Report, more: Sequence[str]) -> Report:
        """``report`` as the last one of all, with ``more`` problems."""
        problems = [*(line for outcome in self._outcomes for line in outcome.problems), *more]
        return replace(
            report,
            cameras=tuple({**self._last, **self._states}.values()),
            files=tuple(sorted({path for outcome in self._outcomes for path in outcome.files})),
            problem="; ".join(problems) or None,
        )

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


def with_runtime(report: Report, runtime: Runtime, costs: Costs) -> Report:
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
