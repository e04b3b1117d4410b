"""What a player made of the clip: whether time stamps rise, its colours, and how far flash and beep are apart."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.peers.clip import WHITE, Clip
from tests.support.colour_patches import planes_at_centres
from tests.support.heard import times
from tests.support.media_helpers import ffprobe

# Levels of 255, and seconds.
COLOURS, APART = 4.0, 0.040
# Flashes and beeps, at the beginning and at the end, over which the distance is a mean.
ENDS = 10


def of_file(path: Path, clip: Clip, *, sound: bool, complaints: Sequence[str]) -> dict[str, Any]:
    """What a player has recorded of an address, having said ``complaints`` while it decoded it."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-f", "null", "-"]
    if not path.exists() or not path.stat().st_size:
        return {"complaints": list(complaints), "wrong": ["nothing was recorded"]}
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    stamps: dict[str, list[float]] = {"video": [], "audio": []}
    for packet in ffprobe(path, "packet=codec_type,pts_time")["packets"]:
        stamps[packet["codec_type"]].append(float(packet["pts_time"]))
    lowest, highest = clip.levels, clip.levels
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            levels = np.stack(planes_at_centres(frame))
            if levels[0].mean() < WHITE:
                lowest, highest = np.minimum(lowest, levels), np.maximum(highest, levels)
    flashes, beeps = times(path) if sound else ([], [])
    return told(
        stamps,
        colours=float(max((clip.levels - lowest).max(), (highest - clip.levels).max())),
        apart=distances(flashes, beeps) if sound else None,
        complaints=[*complaints, *said],
    )


def distances(flashes: Sequence[float], beeps: Sequence[float]) -> list[float]:
    """Seconds from each flash to the nearest beep, but for a first and a last flash whose beep is not heard any more.

    A flash is one picture, so on a busy machine some are dropped.
    """
    if not beeps:
        return []
    heard = [one for one in flashes if beeps[0] - 0.5 < one < beeps[-1] + 0.5]
    return [min((beep - flash for beep in beeps), key=abs) for flash in heard]


def told(
    stamps: dict[str, list[float]],
    *,
    colours: float,
    apart: Sequence[float] | None,
    complaints: Sequence[str],
) -> dict[str, Any]:
    """The figures of one player, and under ``wrong`` what is not as it has to be.

    Args:
        stamps: the time stamps of pictures (``video``) and sound (``audio``) as they came one after another, seconds.
        colours: the largest difference of a level from the clip's.
        apart: from ``distances``; None where no sound has to be there.
        complaints: what was said while it was decoded.
    """
    pictures = stamps["video"]
    figures: dict[str, Any] = {
        "pictures": len(pictures),
        "seconds": round(pictures[-1] - pictures[0], 1) if pictures else 0.0,
        "widest_step_ms": round(1000 * float(np.diff(pictures).max())) if len(pictures) > 1 else None,
        "colours": round(colours, 1),
        "complaints": list(complaints),
    }
    wrong = [name for name, of in stamps.items() if (np.diff(of) <= 0).any()]
    wrong = [f"time stamps of {name} do not rise" for name in wrong]
    wrong += ["complaints"] if complaints else []
    wrong += ["colours"] if colours > COLOURS else []
    wrong += ["no pictures"] if not pictures else []
    if apart is not None:
        ends = [1000 * float(np.mean(part)) for part in (apart[:ENDS], apart[-ENDS:]) if part]
        furthest = 1000 * max(map(abs, apart), default=np.inf)
        figures |= {
            "packets_of_sound": len(stamps["audio"]),
            "flashes": len(apart),
            "apart_ms": [round(one, 1) for one in ends],
            "furthest_apart_ms": round(furthest, 1) if apart else None,
        }
        wrong += [] if furthest <= 1000 * APART else ["flash and beep"]
    return figures | {"wrong": wrong}
