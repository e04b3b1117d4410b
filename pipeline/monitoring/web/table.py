"""The table at ``/table``: how the cameras are doing, what is wrong with those in trouble, and what to do about it.

The page loads itself anew, has no script, and fetches nothing but its style.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.camera_url import CameraUrl
from ...core.clock import Clock, SystemClock
from ...core.status import (
    OTHER_SCENE,
    CameraStatus,
    Watched,
    generator_text,
    learning_text,
    own_model_text,
)
from ...outputs import registry as outputs
from ...sources import registry as sources
from ..api import camera_json
from .templates import environment

# Seconds after which a browser loads the page again.
REFRESH = 2
# Seconds over which the rates are taken.
RATE_OVER = 10.0
# Seconds between the counts that are remembered for the rates.
_RATE_STEP = 1.0

# What is said of a reason for which there is no advice.
_NO_ADVICE = "The log says more."

_BAD_STATES = ("retrying", "failed")

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


def _counts(counts: Mapping[str, int]) -> list[str]:
    """For instance ``overload 3`` and ``output failed 1``, the most frequent first."""
    by_frequency = sorted(counts.items(), key=lambda item: -item[1])
    return [f"{_words(name)} {count:,}" for name, count in by_frequency]


environment.filters |= {"words": _words, "counts": _counts}
_template = environment.get_template("status.html.jinja")


class Page:
    """Shows what is ``watched``. Any thread may ask for it.

    Rates are taken over the last ``RATE_OVER`` seconds in which somebody looked, so the first look shows none.
    """

    def __init__(self, watched: Watched, *, clock: Clock | None = None) -> None:
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
            if camera.state in _BAD_STATES
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
            unknown=_NO_ADVICE,
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
    if camera.state in _BAD_STATES:
        return ""
    if camera.engine == "failed":
        return " (its engine)"
    return " (an output)" if camera.outputs_in_trouble else " (its model)"


def _row(camera: CameraStatus, rate: float | None) -> dict[str, Any]:
    """What the template shows of one camera."""
    entry = camera_json(camera)
    bad = camera.state in _BAD_STATES
    remarks = []
    if bad:
        remarks.append(sources.advice(camera.scheme, camera.reason) or _NO_ADVICE)
    if entry["next_try_s"]:
        remarks.append(f"Next try in {entry['next_try_s']:.0f} s.")
    if entry["reconnects"]:
        remarks.append(f"Lost or not reached so far: {', '.join(_counts(entry['reconnects']))}.")
    doubts = (
        [] if camera.night_doubt is None else [f"{camera.night_doubt[0].upper()}{camera.night_doubt[1:]}."]
    )
    if camera.model_fits is False:
        remarks.append(f"{OTHER_SCENE[0].upper()}{OTHER_SCENE[1:]}.")
    if camera.engine_fault is not None:
        remarks.append(f"Its engine could not be built: {entry['engine_fault']}.")
    elif camera.state == "starting" and camera.engine == "preparing":
        remarks.append("It is opened once its engine is ready.")
    if camera.brightened is not None:
        remarks.append(f"Brightened, not translated: {camera.brightened}.")
    learning = learning_text(camera)
    if learning is not None:
        remarks.append(f"{learning[0].upper()}{learning[1:]}.")
    running = generator_text(camera)
    if running is not None:
        remarks.append(f"{running[0].upper()}{running[1:]}.")
    own_model = own_model_text(camera)
    if own_model is not None:
        remarks.append(f"{own_model[0].upper()}{own_model[1:]}.")
    for output in entry["outputs"]:
        reason = output["reason"]
        output["advice"] = (
            outputs.advice(CameraUrl(output["output"]).scheme, reason) or _NO_ADVICE if reason else ""
        )
    latencies = [entry[key] for key in ("latency_p50_ms", "latency_p95_ms") if entry[key] is not None]
    return {
        "camera": entry,
        "bad": bad,
        "remarks": remarks,
        "doubts": doubts,
        "rate": rate,
        "latencies": [f"{milliseconds:.0f}" for milliseconds in latencies],
    }
