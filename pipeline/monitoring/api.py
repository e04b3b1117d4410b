"""What monitoring tells as JSON: a camera's state for ``/api/cameras``, the JSON log and the summary; readiness."""

from __future__ import annotations

from typing import Any, get_args

from ..core.camera_url import redact
from ..core.counters import Ran
from ..core.status import CameraStatus, OwnModelStatus, RunState, learning_text, room_text
from .found import found_json
from .remarks import advice_on, remarks_on


def readiness_json(watched: RunState) -> dict[str, Any]:
    """Whether a run is ready, as ``/readyz`` says it, and if not, why. It names no camera."""
    cameras = watched.cameras()
    up = sum(camera.stats.up for camera in cameras)
    reasons = {
        "an engine could not be built": any(camera.engine == "failed" for camera in cameras),
        "the engines are being prepared": not watched.engines_ready(),
        "no camera delivers pictures": not up,
    }
    why = [{"reason": reason} for reason, holds in reasons.items() if holds][:1]
    return {"ready": not why, "cameras": len(cameras), "up": up, **(why[0] if why else {})}


def room_json(watched: RunState) -> dict[str, Any]:
    """How many more cameras the machine can take, in a number and in a sentence; null until that was measured."""
    room = watched.room()
    return {
        "more_cameras": None if room is None else room.more,
        "more_cameras_text": None if room is None else room_text(room),
    }


def camera_json(camera: CameraStatus) -> dict[str, Any]:
    """A camera as ``/api/cameras`` shows it: ``state_json``, its name, settings and outputs. Secrets are masked."""
    outputs = [
        {
            "output": redact(output.output),
            "state": output.state,
            "reason": output.reason,
            "detail": redact(output.detail),
            "advice": advice_on(output),
            "sound": None if output.output in camera.silent else camera.sound,
            "sound_note": camera.silent.get(output.output),
        }
        for output in camera.outputs
    ]
    return {
        "name": camera.name,
        "node": camera.node,
        "translate": camera.translate,
        **state_json(camera),
        "outputs": outputs,
        "remarks": remarks_on(camera),
    }


def state_json(camera: CameraStatus) -> dict[str, Any]:
    """A camera's state and counters; latencies in milliseconds. Secrets are masked."""
    stats = camera.stats
    return {
        "state": camera.state,
        "reason": None if camera.reason is None else redact(camera.reason),
        "next_try_s": None if camera.next_try is None else round(camera.next_try, 1),
        "up": stats.up,
        "night": camera.night,
        "light": camera.light,
        "night_told_by": camera.night_told_by,
        "night_doubt": camera.night_doubt,
        "model_fits": camera.model_fits,
        "engine": camera.engine,
        "engine_fault": None if camera.engine_fault is None else redact(camera.engine_fault),
        "learnt": None
        if camera.learnt_day is None
        else {"day": _rounded(camera.learnt_day), "night": _rounded(camera.learnt_night)},
        "learning": learning_text(camera),
        "backgrounds": list(camera.backgrounds),
        "brightened_because": camera.brightened,
        "own_model": _own_model(camera.own_model),
        "remembered_share": _rounded(stats.remembered),
        "unclear_share": _rounded(stats.unclear),
        "generator_share": _rounded(stats.generator_share),
        "generator_ran": {how: stats.ran.get(how, 0) for how in get_args(Ran)} if stats.ran else None,
        "decoded": stats.decoded,
        "translated": stats.translated,
        "passed": stats.passed,
        "brightened": stats.brightened,
        "dropped": stats.dropped,
        "damaged": stats.damaged,
        "reconnects": {redact(reason): count for reason, count in stats.reconnects.items()},
        "detections": stats.detections,
        "detections_reused": stats.detections_reused,
        **found_json(stats.found),
        "collected": stats.collected,
        "latency_p50_ms": _milliseconds(stats.latency_p50),
        "latency_p95_ms": _milliseconds(stats.latency_p95),
        "decoder": camera.decoder,
        "encoder": camera.encoder,
        "sound": camera.sound,
        "clock": "camera" if camera.clock_fault is None else "arrival",
        "clock_reason": camera.clock_fault,
        "colours_reason": camera.colour_fault,
        "outputs_in_trouble": [redact(output) for output in camera.outputs_in_trouble],
    }


def _own_model(own: OwnModelStatus | None) -> dict[str, Any] | None:
    if own is None:
        return None
    return {
        "serves": own.serves is not None,
        "round": own.serves,
        "stage": own.stage,
        "text": own.text,
        "progress": _rounded(own.progress),
        "seconds_left": None if own.seconds is None else round(own.seconds),
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 3)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
