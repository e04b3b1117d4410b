"""What cameras ask of a machine, from its profile: of a kind, or as a configuration has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .memory import camera_bytes
from .profile import Profile
from .simulation import Demand

Scene = Literal["busy", "quiet", "day"]
"""What a camera sees: a night with traffic all over the picture, a night on which nothing moves, or day."""

Written = Literal["recorded", "restreamed"]


@dataclass(frozen=True, slots=True)
class Stream:
    """What an encoder of a camera makes.

    Attributes:
        pixels: of its pictures.
        fps: pictures a second.
        written: what each of its outputs does with them.
        original: whether pictures are shown as the camera saw them.
    """

    pixels: int
    fps: float
    written: tuple[Written, ...]
    original: bool = False


@dataclass(frozen=True, slots=True)
class CameraKind:
    """A camera as far as its costs go.

    Attributes:
        width, height: of its pictures.
        fps: frames a second.
        scene: what it sees.
        streams: what is made of its pictures.
        max_age: seconds after which a frame that waits is dropped.
    """

    width: int
    height: int
    fps: float
    scene: Scene
    streams: tuple[Stream, ...]
    max_age: float = 1.0

    @property
    def pixels(self) -> int:
        """Of a picture."""
        return self.width * self.height


def one_output(width: int, height: int, fps: float, scene: Scene, written: Written) -> CameraKind:
    """A camera whose pictures are written once, as large and as often as they come."""
    return CameraKind(width, height, fps, scene, (Stream(width * height, fps, (written,)),))


def demand_of(name: str, kind: CameraKind, profile: Profile) -> Demand:
    """What a camera asks of the machine of ``profile``."""
    translated = kind.scene != "day"
    outputs = []
    for stream in kind.streams:
        encode = profile.encode if translated and not stream.original else profile.encode_passed
        cost = encode(stream.pixels)
        cost += sum(
            (profile.record if one == "recorded" else profile.send)(stream.pixels) for one in stream.written
        )
        outputs.append(cost * min(1.0, stream.fps / kind.fps))
    batches, width = {}, 1.0
    work = profile.day(kind.pixels)
    if translated:
        quiet = profile.quiet if kind.scene == "quiet" else None
        work = (quiet or profile.night[1].processor)(kind.pixels)
        if profile.at_once is not None:
            lone = profile.night[1]
            width = max(1.0, lone.processor(kind.pixels) / max(lone.seconds(kind.pixels), 1e-9))
        elif quiet is None:
            batches = {
                count: (cost.seconds(kind.pixels), cost.processor(kind.pixels))
                for count, cost in profile.night.items()
            }
    by_second = profile.by_second(kind.pixels) / kind.fps
    return Demand(
        name=name,
        fps=kind.fps,
        decode=(profile.decode if translated else profile.decode_day)(kind.pixels),
        work=work + by_second,
        translated=translated,
        outputs=tuple(outputs),
        memory=camera_bytes(kind.pixels, backgrounds=profile.needs_backgrounds),
        width=width,
        batches=batches,
        max_age=kind.max_age,
    )


def mixed(kinds: Sequence[tuple[CameraKind, float]], count: int, profile: Profile) -> list[Demand]:
    """``count`` cameras, of each kind its share, spread evenly."""
    demands = []
    owed = [0.0] * len(kinds)
    for number in range(count):
        owed = [sum_ + share for sum_, (_, share) in zip(owed, kinds, strict=True)]
        most = max(range(len(kinds)), key=owed.__getitem__)
        owed[most] -= 1
        demands.append(demand_of(f"camera{number}", kinds[most][0], profile))
    return demands
