"""When each camera was recorded, and by whom, told from the files alone."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import av

_EPOCH = re.compile(r"-e(\d+)(?:-\d+)?\.mp4$")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One file: the epoch in its name, and the times of its first and last picture in Unix seconds."""

    epoch: int
    first: float
    last: float


def recorded(folder: Path) -> list[Recorded]:
    """The files of a camera, by their first picture."""
    files = []
    for path in folder.glob("*.mp4"):
        found = _EPOCH.search(path.name)
        if found is None or not path.stat().st_size:
            continue
        with av.open(str(path)) as container:
            about = json.loads(container.metadata["description"])
            begins = datetime.fromisoformat(about["wall_time"].replace("Z", "+00:00")).timestamp()
            stream = container.streams.video[0]
            times = [
                float(packet.pts * stream.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None and stream.time_base
            ]
        if times:
            files.append(Recorded(int(found[1]), begins, begins + max(times)))
    return sorted(files, key=lambda one: one.first)


def overlaps(files: list[Recorded]) -> list[float]:
    """Seconds for which two epochs recorded the same camera at once, for each change of the epoch; 0 is none."""
    changes = [(before, after) for before, after in pairwise(files) if before.epoch != after.epoch]
    return [max(0.0, before.last - after.first) for before, after in changes]


def back_after(files: list[Recorded], moment: float) -> float | None:
    """Seconds from ``moment`` to the first picture of an epoch that was begun after it; None if there is none."""
    epochs: dict[int, float] = {}
    for one in files:
        epochs[one.epoch] = min(one.first, epochs.get(one.epoch, one.first))
    later = [first for first in epochs.values() if first > moment]
    return min(later) - moment if later else None
