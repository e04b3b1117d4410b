"""How the cameras are doing, as text for people: the status line while it runs, and the summary at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from ..core.counters import TOO_SLOW, DropReason
from ..core.status import CameraStatus
from ..core.words import counted
from .api import state_json
from .log_stream import Screen

# Seconds between status lines, on a terminal and elsewhere.
TERMINAL_EVERY, PLAIN_EVERY = 1.0, 10.0

_GOOD_STATES = ("playing", "finished", "stopped")

# What became of frames that were dropped, by the reason.
DROPPED: dict[DropReason, str] = {
    "overload": "came faster than this machine can work",
    "stale": "waited too long for this machine",
    "skipped": "were not decoded, since this machine could not have taken them",
    "backlog": "were old when the camera was opened",
    "output_slow": "came while an output was busy",
    "output_failed": "came while an output was away",
    "engine_error": "could not be translated or finished",
    "loop_failed": "were lost with a worker that failed",
    "decode_error": "were damaged",
    "no_lease": "were not written, since another node may have the camera",
}
# Share of the decoded frames from which on so many dropped ones are worth a word.
_MANY = 0.05


class StatusLine:
    """Reports at intervals how the cameras are doing."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.every = TERMINAL_EVERY if screen.is_terminal else PLAIN_EVERY
        self._before: dict[str, int] = {}
        self._before_at = 0.0

    def report(self, cameras: Sequence[CameraStatus], *, seconds: float) -> None:
        """Show the state ``seconds`` after the start. Rates are taken over the time since the last report."""
        elapsed = max(seconds - self._before_at, 1e-3)
        rates = {
            camera.name: (camera.pictures - self._before.get(camera.name, 0)) / elapsed for camera in cameras
        }
        self._before = {camera.name: camera.pictures for camera in cameras}
        self._before_at = seconds
        if self._screen.log_format == "json":
            values = {
                camera.name: {"fps": round(rates[camera.name], 2), **state_json(camera)} for camera in cameras
            }
            self._screen.event("status", {"seconds": round(seconds, 1), "cameras": values})
        else:
            self._screen.status(status_text(cameras, rates=rates, seconds=seconds))


def status_text(cameras: Sequence[CameraStatus], *, rates: Mapping[str, float], seconds: float) -> str:
    """One line with the time, the total rate and each camera.

    Cameras in trouble come first, because a narrow terminal cuts the end off.
    """
    parts = [f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"]
    if len(cameras) > 1:
        up = sum(camera.stats.up for camera in cameras)
        parts.append(f"{up}/{len(cameras)} up {sum(rates.values()):.0f} fps")
    for camera in sorted(cameras, key=_is_well):
        parts.append(_camera_text(camera, rates[camera.name]))
    return " │ ".join(parts)


def _is_well(camera: CameraStatus) -> bool:
    return camera.state in _GOOD_STATES and not camera.outputs_in_trouble and camera.engine in (None, "ready")


def _camera_text(camera: CameraStatus, rate: float) -> str:
    words = []
    if camera.state != "playing":
        words.append(f"{camera.state} ({camera.reason})" if camera.reason else camera.state)
    if camera.state == "playing" or rate > 0:
        words.append(f"{rate:.1f} fps")
        if camera.stats.latency_p95 is not None:
            words.append(_latency_text(camera.stats.latency_p95))
        if camera.night is not None:
            words.append(("night" if camera.night else "day") + ("?" if camera.night_doubt else ""))
    if camera.engine == "preparing":
        words.append("its engine is being prepared")
    if camera.engine == "failed":
        words.append("its engine could not be built")
    if camera.model_fits is False:
        words.append("model of another scene")
    dropped = camera.stats.dropped
    if dropped:
        slow = sum(dropped.get(reason, 0) for reason in TOO_SLOW)
        why = " (this machine is too slow)" if slow > _MANY * max(camera.stats.decoded, 1) else ""
        words.append(f"{sum(dropped.values())} dropped{why}")
    words += [f"output {output}" for output in camera.outputs_in_trouble]
    return f"{camera.name} {', '.join(words)}"


def _latency_text(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.5 else f"{seconds:.1f} s behind"


def summary_text(cameras: Sequence[CameraStatus], files: Sequence[Path]) -> str:
    """The summary at the end: a line for each file written, and one for each camera."""
    lines = [f"wrote {path}" for path in files]
    for camera in cameras:
        stats = camera.stats
        parts = [f"{counted(stats.translated, 'frame')} translated", f"{stats.passed} passed"]
        if stats.brightened:
            parts.append(f"{stats.brightened} brightened")
        if not stats.dropped:
            parts.append("none dropped")
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
        dropped = f"; {_dropped_text(stats.dropped)}" if stats.dropped else ""
        lines.append(f"{camera.name}: {', '.join(parts)}{dropped}")
    return "\n".join(lines)


def _dropped_text(dropped: Mapping[str, int]) -> str:
    """For instance ``dropped 148: 145 came faster than this machine can work``, the most frequent first."""
    by_frequency = sorted(dropped.items(), key=lambda item: -item[1])
    told = ", ".join(f"{count} {DROPPED[cast(DropReason, reason)]}" for reason, count in by_frequency)
    return f"dropped {sum(dropped.values())}: {told}"


def _counts(counts: Mapping[str, int]) -> str:
    return " ".join(f"{name} {count}" for name, count in sorted(counts.items()))
