"""``python -m nightday.train.footage.night_simulation DAY NIGHT``: make a night clip of a day clip."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, NoReturn

import av
import numpy as np
import tyro

from nightday.engines.video.streams import best_video

from .night_conditions import FIXED_NIGHTS, random_conditions
from .night_simulator import darken
from .scene import Image, SceneError, clip_frames, clip_median

PROGRAM = "python -m nightday.train.footage.night_simulation"


@dataclass(frozen=True, slots=True)
class Arguments:
    """Make a night clip of a day clip, by a physical simulation."""

    day: tyro.conf.Positional[Path]
    """a clip of a fixed camera by day"""

    night: tyro.conf.Positional[Path]
    """the MP4 to write"""

    conditions: Literal["train", "test", "random"] = "test"
    """the night: one of the two fixed ones, or one drawn at random"""

    seed: int = 0
    """seed of the noise and of random conditions, from 0 up"""


def main(argv: list[str] | None = None) -> int:
    """Darken a clip; exit 0 when done, 2 when an argument is wrong."""
    args = tyro.cli(Arguments, prog=PROGRAM, args=argv)
    try:
        rng = np.random.default_rng(args.seed)
        background = _even(clip_median(args.day))
        conditions = random_conditions(rng) if args.conditions == "random" else FIXED_NIGHTS[args.conditions]
        with av.open(str(args.day)) as clip:
            rate = best_video(clip).average_rate or Fraction(25)
        args.night.parent.mkdir(parents=True, exist_ok=True)
        frames = (_even(frame) for frame in clip_frames(args.day))
        written = _write_clip(args.night, darken(frames, background, conditions, rng), rate)
    except SceneError as error:
        _refuse(str(error))
    except (ValueError, OSError) as error:  # FFmpeg's errors are both
        _refuse(f"{args.night}: {error}")
    print(f"{args.night}: {written} frames")
    return 0


def _refuse(message: str) -> NoReturn:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    raise SystemExit(2)


def _even(frame: Image) -> Image:
    """Without its last row and column where the sides are odd: 4:2:0 has half as many of colour."""
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]


def _write_clip(path: Path, pictures: Iterator[Image], rate: Fraction) -> int:
    """Write the pictures; gives how many."""
    number = -1
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "27", "preset": "slow"})
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return number + 1


if __name__ == "__main__":
    raise SystemExit(main())
