"""What a camera's configuration asks of detection, as the rooms below take it."""

from __future__ import annotations

from ..analysis.follow import Areas, Follower, make_follower
from ..config.schema import CameraConfig
from ..core.events import Publish
from ..core.found import FoundCounts, Looking


def looking_of(config: CameraConfig) -> Looking:
    """What a camera asks of its detector."""
    detect = config.detect
    if not detect:
        return Looking()
    return Looking(detect.on, frozenset(detect.classes), detect.confidence, detect.every)


def follower_of(config: CameraConfig, counts: FoundCounts, publish: Publish) -> Follower | None:
    """What follows a camera's objects; None where nothing is looked for."""
    detect = config.detect
    if not detect:
        counts.end()  # they are those of the settings before, too
        return None
    return make_follower(
        camera=config.name,
        areas=Areas(
            zones={name: zone.points for name, zone in detect.zones.items()},
            lines={name: (line.start, line.end) for name, line in detect.lines.items()},
            classes={name: frozenset(zone.classes) for name, zone in detect.zones.items()},
            looked_for=frozenset(detect.classes),
        ),
        follow=detect.track,
        confidence=detect.confidence,
        counts=counts,
        publish=publish,
    )
