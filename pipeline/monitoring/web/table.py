"""The table at ``/table``: how the cameras are doing, what is wrong with those in trouble, and what to do about it.

The page loads itself anew, has no script, and fetches nothing but its style.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from ...core.clock import Clock, SystemClock
from ...core.status import CameraStatus, RunState
from ..api import camera_json
from ..remarks import BAD_STATES, NO_ADVICE, counted, sentence
from .templates import environment

# Seconds after which a browser loads the page again.
REFRESH = 2
# Seconds over which the rates are taken.
RATE_OVER = 10.0
# Seconds between the counts that are remembered for the rates.
_RATE_STEP = 1.0

# The columns' names and CSS classes, in the order of the template's cells.
_COLUMNS = (
    ("camera", ""),
    ("state", "state"),
    ("sees", ""),
    ("translates", ""),
    ("fps", "n"),
    ("latency", "n"),
    ("translated", "n"),
    ("passed", "n"),
    ("dropped", "n"),
    ("outputs", "outputs"),
)


def _words(name: str) -> str:
    return name.replace("_", " ")


environment.filters |= {"words": _words, "counts": counted}
_template = environment.get_template("status.html.jinja")


class Page:
    """Shows what is ``watched``. Any thread may ask for it.

    Rates are taken over the last ``RATE_OVER`` seconds in which somebody looked, so the first look shows none.
    """

    def __init__(self, watched: RunState, *, clock: Clock | None = None) -> None:
        self._watched = watched
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        # When somebody looked, and each camera's pictures then: the oldest first, at most one entry a step.
        self._seen: deque[tuple[float, dict[str, int]]] = deque()

    def html(self) -> str:
        """The page as it is now."""
        cameras = self._watched.cameras()
        rates = self._rates(cameras)
        troubled = [
            f"{camera.name}{_trouble(camera)}"
            for camera in cameras
            if camera.state in BAD_STATES
            or camera.outputs_in_trouble
            or camera.model_fits is False
            or camera.engine == "failed"
        ]
        return _template.render(
            up=sum(camera.stats.up for camera in cameras),
            time=time.strftime("%H:%M:%S", time.localtime(self._clock.time())),
            beating=self._watched.beating(),
            preparing=not self._watched.engines_ready() and not any(c.engine == "failed" for c in cameras),
            troubled=troubled,
            unknown=NO_ADVICE,
            columns=_COLUMNS,
            rows=[_row(camera, rates.get(camera.name)) for camera in cameras],
            refresh=REFRESH,
        )

    def _rates(self, cameras: Sequence[CameraStatus]) -> dict[str, float]:
        """Pictures a second of each camera that was there before."""
        now, pictures = self._clock.monotonic(), {camera.name: camera.pictures for camera in cameras}
        with self._lock:
            while self._seen and now - self._seen[0][0] > RATE_OVER:
                self._seen.popleft()
            if not self._seen or now - self._seen[-1][0] >= _RATE_STEP:
                self._seen.append((now, pictures))
            at, before = self._seen[0]
        if now - at < _RATE_STEP:
            return {}
        # A camera that was configured anew counts from zero again, and has no rate yet.
        return {
            name: (count - before[name]) / (now - at)
            for name, count in pictures.items()
            if count >= before.get(name, count + 1)
        }


def _trouble(camera: CameraStatus) -> str:
    if camera.state in BAD_STATES:
        return ""
    if camera.engine == "failed":
        return " (its engine)"
    return " (an output)" if camera.outputs_in_trouble else " (its model)"


def _row(camera: CameraStatus, rate: float | None) -> dict[str, Any]:
    """What the template shows of one camera."""
    entry = camera_json(camera)
    doubts = [] if camera.night_doubt is None else [sentence(camera.night_doubt)]
    latencies = [entry[key] for key in ("latency_p50_ms", "latency_p95_ms") if entry[key] is not None]
    return {
        "camera": entry,
        "bad": camera.state in BAD_STATES,
        "remarks": entry["remarks"],
        "doubts": doubts,
        "rate": rate,
        "latencies": [f"{milliseconds:.0f}" for milliseconds in latencies],
    }
