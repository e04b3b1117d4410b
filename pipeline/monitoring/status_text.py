"""How the cameras are doing, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..core.camera_url import redact
from ..core.counters import Histogram, StatsSnapshot
from ..core.events import OutputChanged
from .log_stream import Screen

if TYPE_CHECKING:
    from nightday.engines.backends.base import EngineInfo

TERMINAL_EVERY, PLAIN_EVERY = 1.0, 10.0  # seconds between status lines on a terminal and elsewhere
_WELL = ("playing", "finished", "stopped")


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """One camera at one moment.

    Attributes:
        name: the camera's.
        state: its reader's: starting, playing, retrying, finished, failed, stopped.
        reason: why, if all is not well; of a stopped camera, why it was away by then.
        night: what its gate says; None if it has none, or none yet.
        outputs_in_trouble: outputs in trouble, secrets masked.
        stats: its counters.
        translate: when its frames are translated, as configured.
        outputs: the present state of each of its outputs.
        next_try: seconds until it is tried again, if that is waited for.
        decoder: what decoded its last frame, ``nvdec`` or ``software``; None before the first.
        encoder: what encodes for its outputs, ``nvenc`` or ``x264``; None before the first picture.
    """

    name: str
    state: str
    reason: str | None
    night: bool | None
    outputs_in_trouble: tuple[str, ...]
    stats: StatsSnapshot
    translate: Literal["night", "always", "never"] | None = None
    outputs: tuple[OutputChanged, ...] = ()
    next_try: float | None = None
    decoder: str | None = None
    encoder: str | None = None

    @property
    def pictures(self) -> int:
        """Pictures handed to the outputs since the start."""
        return self.stats.translated + self.stats.passed


class Watched(Protocol):
    """What can be seen of a run from outside. Callable from any thread at any time; nothing here waits."""

    @property
    def batches(self) -> Histogram:
        """Frames given to an engine at once."""
        ...

    def cameras(self) -> Sequence[CameraStatus]:
        """Each camera at present."""
        ...

    def engines(self) -> Sequence[EngineInfo]:
        """The engines that were loaded."""
        ...

    def engines_ready(self) -> bool:
        """Whether every engine the cameras need is loaded and has run once."""
        ...

    def beating(self) -> bool:
        """Whether the loop and its supervisor have shown within their time that they are not stuck."""
        ...


class StatusLine:
    """Reports every so often how the cameras are doing."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.every = TERMINAL_EVERY if screen.is_terminal else PLAIN_EVERY
        self._before: dict[str, int] = {}
        self._before_at = 0.0

    def report(self, cameras: Sequence[CameraStatus], *, seconds: float) -> None:
        """Show the state ``seconds`` after the start; rates are those since the last report."""
        elapsed = max(seconds - self._before_at, 1e-3)
        rates = {
            camera.name: (camera.pictures - self._before.get(camera.name, 0)) / elapsed for camera in cameras
        }
        self._before = {camera.name: camera.pictures for camera in cameras}
        self._before_at = seconds
        if self._screen.log_format == "json":
            values = {
                camera.name: {"fps": round(rates[camera.name], 2), **as_json(camera)} for camera in cameras
            }
            self._screen.event("status", {"seconds": round(seconds, 1), "cameras": values})
        else:
            self._screen.status(status_text(cameras, rates=rates, seconds=seconds))


def status_text(cameras: Sequence[CameraStatus], *, rates: dict[str, float], seconds: float) -> str:
    """One line: time, total rate, then the cameras with those in trouble first, since the end may be cut off."""
    parts = [f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"]
    if len(cameras) > 1:
        up = sum(camera.stats.up for camera in cameras)
        parts.append(f"{up}/{len(cameras)} up {sum(rates.values()):.0f} fps")
    for camera in sorted(cameras, key=lambda camera: camera.state in _WELL and not camera.outputs_in_trouble):
        parts.append(_camera_text(camera, rates[camera.name]))
    return " │ ".join(parts)


def _camera_text(camera: CameraStatus, rate: float) -> str:
    words = [camera.name]
    if camera.state != "playing":
        words.append(f"{camera.state} ({camera.reason})" if camera.reason else camera.state)
    if camera.state == "playing" or rate > 0:
        words.append(f"{rate:.1f} fps")
        if camera.stats.latency_p95 is not None:
            words.append(f"{camera.stats.latency_p95 * 1000:.0f} ms")
        if camera.night is not None:
            words.append("night" if camera.night else "day")
    lost = sum(camera.stats.dropped.values())
    if lost:
        words.append(f"-{lost}")
    words += [f"output {output}" for output in camera.outputs_in_trouble]
    return " ".join(words)


def as_json(camera: CameraStatus) -> dict[str, Any]:
    """A camera's state as plain values; latencies in milliseconds."""
    stats = camera.stats
    return {
        "state": camera.state,
        "reason": _masked(camera.reason),
        "next_try_s": None if camera.next_try is None else round(camera.next_try, 1),
        "up": stats.up,
        "night": camera.night,
        "decoded": stats.decoded,
        "translated": stats.translated,
        "passed": stats.passed,
        "dropped": stats.dropped,
        "reconnects": {redact(reason): count for reason, count in stats.reconnects.items()},
        "detections": stats.detections,
        "collected": stats.collected,
        "latency_p50_ms": _ms(stats.latency_p50),
        "latency_p95_ms": _ms(stats.latency_p95),
        "decoder": camera.decoder,
        "encoder": camera.encoder,
        "outputs_in_trouble": [redact(output) for output in camera.outputs_in_trouble],
    }


def camera_json(camera: CameraStatus) -> dict[str, Any]:
    """A camera as ``/api/cameras`` shows it: ``as_json``, and what it is and where it goes. Secrets masked."""
    outputs = [
        {
            "output": redact(output.output),
            "state": output.state,
            "reason": output.reason,
            "detail": redact(output.detail),
        }
        for output in camera.outputs
    ]
    return {"name": camera.name, "translate": camera.translate, **as_json(camera), "outputs": outputs}


def _masked(text: str | None) -> str | None:
    return None if text is None else redact(text)


def summary_text(cameras: Sequence[CameraStatus], files: Sequence[Path]) -> str:
    """The last words: a line for each file written, and one for each camera."""
    lines = [f"wrote {path}" for path in files]
    for camera in cameras:
        stats = camera.stats
        parts = [f"{stats.translated} frames translated", f"{stats.passed} passed"]
        parts.append(f"dropped {_counts(stats.dropped) or 0}")
        if stats.latency_p50 is not None and stats.latency_p95 is not None:
            parts.append(f"latency p50 {stats.latency_p50 * 1e3:.0f} ms p95 {stats.latency_p95 * 1e3:.0f} ms")
        if stats.reconnects:
            parts.append(f"reconnects {_counts(stats.reconnects)}")
        if stats.detections:
            parts.append(f"found {_counts(stats.detections)}")
        if stats.collected:
            parts.append(f"collected {_counts(stats.collected)}")
        if camera.reason is not None:
            parts.append(f"{camera.state} ({camera.reason})")
        lines.append(f"{camera.name}: {', '.join(parts)}")
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return " ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
