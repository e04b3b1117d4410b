"""A camera's state as it is kept at the broker."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ....core.camera_url import redact
from ....core.status import CameraStatus, learning_text
from ..camera_facts import WHOLE_PICTURE, Place

PICTURE = "picture"
"""What the whole picture is called among the zones."""


def state_payload(
    camera: CameraStatus, *, counts: Mapping[Place, int], moved: bool, fps: float | None
) -> bytes:
    """A camera's state as a JSON object.

    Args:
        camera: its state.
        counts: objects by zone and class.
        moved: whether it was moved.
        fps: pictures a second of late; None while that is not known.
    """
    latency = camera.stats.latency_p95
    zones: dict[str, dict[str, int]] = {}
    for (zone, label), count in sorted(counts.items()):
        zones.setdefault(zone if zone != WHOLE_PICTURE else PICTURE, {})[label] = count
    state = {
        "connected": camera.stats.up,
        "state": camera.state,
        "reason": None if camera.reason is None else redact(camera.reason),
        "night": camera.night,
        "light": camera.light,
        "translate": camera.translate,
        "engine": camera.engine,
        "learning": learning_text(camera),
        "brightened_because": camera.brightened,
        "other_scene": None if camera.model_fits is None else not camera.model_fits,
        "moved": moved,
        "outputs_in_trouble": len(camera.outputs_in_trouble),
        "fps": None if fps is None else round(fps, 1),
        "latency_ms": None if latency is None else round(1000 * latency),
        "counts": zones,
    }
    return json.dumps(state, ensure_ascii=False).encode()
