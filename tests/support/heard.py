"""Clips that flash and beep at each full second, and how far apart both are where they come out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np

from nightday.pipeline.core.camera_url import CameraUrl
from nightday.pipeline.core.counters import CameraStats
from nightday.pipeline.core.frame import Frame, Picture
from nightday.pipeline.core.sound import SoundTrack
from nightday.pipeline.sources.latest_slot import LatestSlot
from nightday.pipeline.sources.reader import Reader
from tests.support.clips import made

RATE = 48_000


def flashing(path: Path, codec: str, *, seconds: int, more: tuple[str, ...] = ()) -> Path:
    """A clip of 64x48 at 25 fps with sound of a codec; a process makes each once."""
    path.write_bytes(_flashing(path.suffix, codec, seconds, more))
    return path


@cache
def _flashing(suffix: str, codec: str, seconds: int, more: tuple[str, ...]) -> bytes:
    box = "drawbox=w=64:h=48:t=fill:color=white:enable='lt(mod(t,1),0.039)'"
    beep = f"aevalsrc='if(lt(mod(t,1),0.04),0.8*sin(6283*t),0)':s={RATE}:d={seconds}"
    return made(
        suffix,
        *("-f", "lavfi", "-i", f"color=black:s=64x48:r=25:d={seconds},{box}", "-f", "lavfi", "-i", beep),
        *("-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-c:a", codec, *more),
    )


def play(
    source: Path, track: SoundTrack | None, *take: Callable[[Picture], object], times: int = 1
) -> CameraStats:
    """Have a reader play a clip so often, each of whose pictures all ``take`` at once."""
    stop, ends = threading.Event(), 0

    class Through(LatestSlot):
        def put_wait(self, frame: Frame, *, cancelled: threading.Event) -> bool:
            nonlocal ends
            ends += frame.video.pts == 0
            if ends > times:
                stop.set()
                return False
            rgb = frame.video.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            for one in take:
                one(Picture(frame, rgb, False))
            return True

    stats = CameraStats()
    Reader(
        camera="gate",
        source=CameraUrl(str(source)),
        slot=Through(ready=threading.Condition(), stats=stats),
        stats=stats,
        stop=stop,
        pace="fast",
        loop=times > 1,
        sound=track,
    ).run()
    return stats


def payloads(path: Path) -> list[bytes]:
    """The packets of a file's sound, without ADTS."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    return [data[7:] if data[:2] in (b"\xff\xf1", b"\xff\xf9") else data for data in packets]


def times(path: Path) -> tuple[list[float], list[float]]:
    """When a file flashes and when it beeps, in seconds of its own, by what is decoded."""
    flashes: list[float] = []
    bright = False
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            white = bool(frame.to_ndarray(format="gray").mean() > 128)
            if white and not bright:
                flashes.append(float(frame.time or 0))
            bright = white
    beeps: list[float] = []
    last = -1.0
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        for frame in (one for raw in container.decode(audio=0) for one in resampler.resample(raw)):
            for at in np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.2) / RATE + float(frame.time or 0):
                if at - last > 0.5:
                    beeps.append(float(at))
                last = at
    return flashes, beeps


def apart(path: Path) -> list[float]:
    """Seconds between each flash of a file and its beep, where the file has both."""
    flashes, beeps = times(path)
    nearest = [min((beep - flash for beep in beeps), key=abs) for flash in flashes]
    return [each for each in nearest if abs(each) < 0.5]
