"""Quiet nights: cameras before which little happens, with sensor noise and a camera's compression. All are synthetic.

``python -m benchmarks.quiet_scenes FOLDER [--seed 0]`` writes ``NAME.npz`` for each scene: the nights as a viewer
decodes them, the true day of each, where something moves in it, and the camera's backgrounds by day and by night. The
ground is a real camera's empty day (the bundled clip's); what moves, the rain and the night are made.

| scene | what happens |
|---|---|
| still | nothing |
| walker | somebody walks across the road and back, for two thirds of the time |
| rain | rain in the light of the lamps |
| tree | branches sway in the wind |
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.bundled import bundled_clips
from nightday.train.footage.night_conditions import FIXED_NIGHTS
from nightday.train.footage.night_simulator import NightSimulator
from nightday.train.footage.scene import Image, clip_median

SCENES = ("still", "walker", "rain", "tree")
FRAMES, RATE, BIT_RATE = 240, 12, 1_500_000
# Of a camera that sees more than those of the fixed night: a yard with lamps.
EXPOSURE = 2.5
# Nights without anything that moves, of which n_ref is the median.
LEARNT = 96

Mask = NDArray[np.bool_]


def main(argv: list[str] | None = None) -> int:
    """Write the scenes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quiet_scenes", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(SCENES):
        made = scene(name, np.random.default_rng((args.seed, number)))
        np.savez_compressed(args.folder / f"{name}.npz", allow_pickle=False, **made)
        print(f"{args.folder / name}.npz: {len(made['nights'])} frames")
    return 0


def scene(name: str, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """One of the scenes: nights, days, moving, day_background, night_background."""
    ground = clip_median(bundled_clips() / "day_tfl_09731_a1_barnet.mp4")
    conditions = replace(FIXED_NIGHTS["test"], headlights=0.0, streak=0.0, exposure=EXPOSURE)
    simulate = NightSimulator(conditions, ground.shape[:2], rng)
    empty = _as_sent(simulate(ground) for _ in range(LEARNT))
    days, moving = [], []
    for number in range(FRAMES):
        day, moved = _day(name, ground, number)
        days.append(day)
        moving.append(moved)
    nights = (simulate(day) for day in days)
    if name == "rain":
        nights = (_rained_on(night, rng) for night in nights)
    return {
        "nights": np.stack(_as_sent(nights)),
        "days": np.stack(days),
        "moving": np.stack(moving),
        "day_background": ground,
        "night_background": np.median(np.stack(empty), axis=0).round().astype(np.uint8),
    }


def _day(name: str, ground: Image, number: int) -> tuple[Image, Mask]:
    """The true day, and where something moves in it."""
    height, width = ground.shape[:2]
    moved = np.zeros((height, width), np.bool_)
    if name == "walker" and number % (FRAMES // 2) < FRAMES // 3:
        share = number % (FRAMES // 2) / (FRAMES // 3)
        across = share if number < FRAMES // 2 else 1 - share
        return _walker(ground, 0.1 * width + across * 0.8 * width, 0.72 * height, number)
    if name == "tree":
        return _swaying(ground, number)
    return ground, moved


def _walker(ground: Image, x: float, feet: float, number: int) -> tuple[Image, Mask]:
    """Somebody 46 pixels tall: head, coat, two legs that swing; drawn four times as large and shrunk."""
    scale, tall = 4, 46 * 4
    height, width = ground.shape[:2]
    cover = np.zeros((height * scale, width * scale), np.float32)
    colour = np.zeros((*cover.shape, 3), np.float32)

    def part(shape: list[tuple[float, float]], rgb: tuple[int, int, int]) -> None:
        points = np.array([(x * scale + a * tall, feet * scale + b * tall) for a, b in shape], np.int32)
        cv2.fillPoly(cover, [points], 1.0)
        cv2.fillPoly(colour, [points], rgb)

    swing = 0.14 * np.sin(number * 0.9)
    for side in (swing, -swing):
        part([(-0.06, -0.48), (0.06, -0.48), (side + 0.05, 0), (side - 0.05, 0)], (52, 58, 74))
    part([(-0.13, -0.84), (0.13, -0.84), (0.12, -0.44), (-0.12, -0.44)], (150, 66, 58))
    round_ = [(0.075 * np.cos(a), -0.92 + 0.085 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 24)]
    part(round_, (196, 158, 134))
    share = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)[..., None]
    drawn = cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA)
    return np.uint8(np.clip(ground * (1 - share) + drawn, 0, 255).round()), share[..., 0] > 0.5


def _swaying(ground: Image, number: int) -> tuple[Image, Mask]:
    """Branches on the right move by up to three pixels, more above than below."""
    height, width = ground.shape[:2]
    yy, xx = np.mgrid[:height, :width].astype(np.float32)
    near = np.clip(
        1 - np.hypot((xx - 0.82 * width) / (0.2 * width), (yy - 0.45 * height) / (0.28 * height)), 0, 1
    )
    by = 3 * near * np.sin(number * 0.5 + yy * 0.06)
    day = cv2.remap(ground, xx + by, yy + 0.3 * by, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return day, np.abs(day.astype(int) - ground).max(axis=2) > 20


def _rained_on(night: Image, rng: np.random.Generator) -> Image:
    """Drops as faint, slanting streaks, brightest where there is light."""
    height, width = night.shape[:2]
    streaks = np.zeros((height, width), np.float32)
    for _ in range(60):
        x, y, long = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(6, 16)
        end = (int(x + 0.15 * long), int(y + long))
        cv2.line(streaks, (int(x), int(y)), end, rng.uniform(0.3, 1), 1, cv2.LINE_AA)
    light = cv2.GaussianBlur(night, (0, 0), 12).astype(np.float32)
    lit: Image = np.clip(night + 0.5 * streaks[..., None] * light, 0, 255).astype(np.uint8)
    return lit


def _as_sent(pictures: Iterator[Image]) -> list[Image]:
    """What a viewer decodes of them, H.264 at ``BIT_RATE`` without B-frames, as cameras send it."""
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as out:
        stream = out.add_stream(
            "libx264", rate=RATE, options={"preset": "veryfast", "tune": "zerolatency", "g": "24"}
        )
        stream.pix_fmt, stream.bit_rate = "yuv420p", BIT_RATE
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    memory.seek(0)
    with av.open(memory) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


if __name__ == "__main__":
    raise SystemExit(main())
