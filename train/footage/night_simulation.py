"""A physical night simulation: a day picture becomes a night one, and the day stays as its truth.

No camera gives both at once. The steps are those of light on its way to the file: the day picture, made
linear, is taken for the reflectance of the scene; a weak sky and street lamps light it; lamps, head- and tail
lights shine into the lens and spread there (glare, streak); the sensor counts photons (shot noise), adds its
own (read noise) and clips; white balance and the tone curve bring it back to sRGB, and compression takes what
little the dark had left.

``python -m train.night day.mp4 night.mp4`` does this to a clip.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Linear = NDArray[np.float32]

# linear RGB of a black body at these temperatures, scaled to G = 1 (Planck's law at 600, 550, 450 nm)
LAMP_COLOURS = {
    "sodium": (1.90, 1.0, 0.12),
    "tungsten": (1.55, 1.0, 0.42),
    "warm_led": (1.30, 1.0, 0.62),
    "cool_led": (1.00, 1.0, 1.05),
}
TAIL_LIGHT = (1.0, 0.06, 0.03)
HEADLIGHT = (1.0, 1.0, 0.95)
GREY = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, slots=True)
class Lamp:
    """A street lamp. Lengths are shares of the picture's height.

    Attributes:
        x, y: where the lamp is, shares of width and height; its pool of light lies below it.
        drop: from the lamp down to the middle of its pool.
        reach: radius of the pool.
        power: light in the middle of the pool; a day is 1.
        glow: brightness of the lamp itself, in white levels.
        colour: linear RGB, G = 1.
        radius: of the lamp itself.
    """

    x: float
    y: float
    drop: float
    reach: float
    power: float
    glow: float
    colour: tuple[float, float, float]
    radius: float = 0.008


@dataclass(frozen=True, slots=True)
class Panel:
    """An upright rectangle: a wall that a floodlight falls on, or a window or sign that shines by itself.

    Attributes:
        x, y: its middle, shares of width and height.
        width, height: shares of the picture's height.
        power: of the light that falls on it, or of its own, in days or white levels.
        colour: linear RGB, G = 1.
        softness: of its border, share of its height; 0 is sharp.
    """

    x: float
    y: float
    width: float
    height: float
    power: float
    colour: tuple[float, float, float]
    softness: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NightConditions:
    """One night at one camera: everything but the noise, which changes from frame to frame.

    Attributes:
        ambient: light of the sky as a share of the day's.
        ambient_colour: linear RGB of that light.
        lamps: street lamps.
        floodlit: what is lit from near by.
        windows: what shines by itself.
        wet: share of all lamps' and vehicles' light that ground or water below mirrors, drawn out downwards.
        wet_length: how far down, share of the height, until a third is left.
        glare: (radius as a share of the height, share of the light) of each Gaussian of the lens's spread.
        streak: share of the light that a smeared lens draws out into a line.
        streak_length: standard deviation of that line, share of the height.
        streak_angle: its direction, degrees; 0 is along x.
        headlights: brightness of a vehicle's front lights, in white levels; 0 for none.
        oncoming_side: vehicles beyond this share of the width show front lights if positive, those before it
            if negative (-0.4: left of 0.4); the others show tail lights.
        exposure: gain between the lit scene and white.
        photons: photons at white; fewer are noisier.
        read_noise: standard deviation, share of white.
        white_balance: gains of R and B.
        gamma: exponent on top of the sRGB curve; above 1 crushes the dark.
        saturation: colour kept by the camera in the dark, 0 to 1.
        jpeg_quality: of the compression, 1 to 100; 0 for none.
    """

    ambient: float
    ambient_colour: tuple[float, float, float] = (0.8, 0.95, 1.25)
    lamps: tuple[Lamp, ...] = ()
    floodlit: tuple[Panel, ...] = ()
    windows: tuple[Panel, ...] = ()
    wet: float = 0.0
    wet_length: float = 0.1
    glare: tuple[tuple[float, float], ...] = ((0.01, 0.05), (0.04, 0.02))
    streak: float = 0.0
    streak_length: float = 0.1
    streak_angle: float = 0.0
    headlights: float = 4.0
    oncoming_side: float = 0.5
    exposure: float = 1.0
    photons: float = 600.0
    read_noise: float = 0.008
    white_balance: tuple[float, float] = (1.0, 1.0)
    gamma: float = 1.0
    saturation: float = 1.0
    jpeg_quality: int = 0


def random_conditions(rng: np.random.Generator) -> NightConditions:
    """A night drawn at random, wide enough to hold most cameras' nights; for training."""
    colours = list(LAMP_COLOURS.values())
    lamps = tuple(
        Lamp(
            x=rng.uniform(-0.1, 1.1),
            y=rng.uniform(-0.1, 0.7),
            drop=rng.uniform(0.05, 0.4),
            reach=rng.uniform(0.1, 0.5),
            power=float(np.exp(rng.uniform(math.log(0.01), math.log(0.35)))),
            glow=float(np.exp(rng.uniform(math.log(0.5), math.log(12.0)))),
            colour=colours[rng.integers(len(colours))],
            radius=float(np.exp(rng.uniform(math.log(0.004), math.log(0.03)))),
        )
        for _ in range(rng.integers(0, 9))
    )

    def panels(
        most: int, size: tuple[float, float], power: tuple[float, float], softness: float
    ) -> tuple[Panel, ...]:
        low, high = (math.log(end) for end in power)
        return tuple(
            Panel(
                x=rng.uniform(0, 1),
                y=rng.uniform(0, 1),
                width=rng.uniform(*size),
                height=rng.uniform(*size),
                power=float(np.exp(rng.uniform(low, high))),
                colour=colours[rng.integers(len(colours))],
                softness=softness * rng.uniform(0, 1) ** 2,
            )
            for _ in range(rng.integers(1, most + 1))
        )

    return NightConditions(
        ambient=float(np.exp(rng.uniform(math.log(0.006), math.log(0.12)))),
        ambient_colour=(rng.uniform(0.7, 1.2), 1.0, rng.uniform(0.7, 1.4)),
        lamps=lamps,
        floodlit=panels(4, (0.1, 0.7), (0.05, 1.5), 0.5) if rng.random() < 0.3 else (),
        windows=panels(12, (0.01, 0.06), (0.1, 3.0), 0.0) if rng.random() < 0.3 else (),
        wet=float(rng.uniform(0.0, 0.3)) if rng.random() < 0.25 else 0.0,
        wet_length=float(rng.uniform(0.02, 0.2)),
        glare=(
            (rng.uniform(0.004, 0.015), rng.uniform(0.0, 0.15)),
            (rng.uniform(0.02, 0.12), rng.uniform(0.0, 0.06)),
        ),
        streak=float(rng.uniform(0.0, 0.08)) if rng.random() < 0.3 else 0.0,
        streak_length=float(rng.uniform(0.03, 0.2)),
        streak_angle=float(rng.uniform(-90, 90)),
        headlights=float(rng.uniform(0.0, 8.0)) if rng.random() < 0.8 else 0.0,
        oncoming_side=float(rng.uniform(0.2, 0.8) * rng.choice((-1, 1))),
        exposure=float(np.exp(rng.uniform(math.log(0.6), math.log(3.0)))),
        photons=float(np.exp(rng.uniform(math.log(100), math.log(3000)))),
        read_noise=float(rng.uniform(0.001, 0.02)),
        white_balance=(rng.uniform(0.75, 1.3), rng.uniform(0.75, 1.3)),
        gamma=float(rng.uniform(0.85, 1.25)),
        saturation=float(rng.uniform(0.5, 1.0)),
        jpeg_quality=int(rng.integers(15, 90)) if rng.random() < 0.6 else 0,
    )


# Two fixed nights. A scene's unpaired night pictures come from TRAIN_NIGHT; scores are taken under TEST_NIGHT,
# whose lamps, lens and sensor differ from it. Its far-reaching third glare no random night has.
TRAIN_NIGHT = NightConditions(
    ambient=0.02,
    lamps=(
        Lamp(0.18, 0.25, 0.30, 0.30, 0.12, 6.0, LAMP_COLOURS["sodium"]),
        Lamp(0.62, 0.20, 0.35, 0.25, 0.10, 6.0, LAMP_COLOURS["sodium"]),
        Lamp(0.90, 0.35, 0.30, 0.25, 0.08, 4.0, LAMP_COLOURS["warm_led"]),
    ),
    glare=((0.008, 0.08), (0.05, 0.03)),
    headlights=4.0,
    oncoming_side=0.45,
    exposure=1.4,
    photons=500.0,
    read_noise=0.006,
    white_balance=(0.95, 1.1),
)
TEST_NIGHT = NightConditions(
    ambient=0.02,
    ambient_colour=(0.9, 0.95, 1.1),
    lamps=(
        Lamp(0.08, 0.30, 0.35, 0.28, 0.10, 9.0, LAMP_COLOURS["warm_led"]),
        Lamp(0.36, 0.12, 0.30, 0.18, 0.07, 5.0, LAMP_COLOURS["cool_led"]),
        Lamp(0.55, 0.10, 0.25, 0.15, 0.06, 5.0, LAMP_COLOURS["warm_led"]),
        Lamp(0.97, 0.20, 0.50, 0.35, 0.09, 9.0, LAMP_COLOURS["warm_led"]),
    ),
    glare=((0.006, 0.06), (0.03, 0.03), (0.15, 0.03)),
    streak=0.03,
    streak_length=0.12,
    headlights=6.0,
    oncoming_side=0.4,
    exposure=1.3,
    photons=900.0,
    read_noise=0.009,
    white_balance=(1.12, 0.88),
    gamma=1.06,
    saturation=0.8,
)


def srgb_to_linear(rgb: Image) -> Linear:
    """uint8 sRGB → float32 linear light in [0, 1] (IEC 61966-2-1)."""
    return _SRGB_TABLE[rgb]


def linear_to_srgb(linear: Linear) -> Linear:
    """Linear light → sRGB, both float32, clipped to [0, 1]."""
    x = np.clip(linear, 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, np.float32(1 / 2.4)) - 0.055).astype(
        np.float32
    )


def linear_to_srgb8(linear: Linear) -> Image:
    """Linear light → uint8 sRGB, clipped and rounded."""
    return np.rint(linear_to_srgb(linear) * 255).astype(np.uint8)


_levels = np.arange(256) / 255
_SRGB_TABLE: Linear = np.where(
    _levels <= 0.04045, _levels / 12.92, ((_levels + 0.055) / 1.055) ** 2.4
).astype(np.float32)


@dataclass(slots=True)
class NightSimulator:
    """Darkens the frames of one camera under one set of conditions.

    Args:
        conditions: the night.
        shape: (H, W) of the frames.
        rng: source of the noise.
    """

    conditions: NightConditions
    shape: tuple[int, int]
    rng: np.random.Generator
    _light: Linear = field(init=False, repr=False)
    _lamps: Linear = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # What does not change from frame to frame: the light that falls on the scene, and the lamps themselves.
        height, width = self.shape
        c = self.conditions
        y, x = np.mgrid[:height, :width].astype(np.float32)
        self._light = np.full((height, width, 3), c.ambient, np.float32) * _rgb(c.ambient_colour)
        self._lamps = np.zeros((height, width, 3), np.float32)
        for lamp in c.lamps:
            cx, cy = lamp.x * width, lamp.y * height
            # A pool seen at an angle is a flat ellipse; the light falls off as from a point above the ground.
            dx, dy = (
                (x - cx) / (lamp.reach * height),
                (y - cy - lamp.drop * height) / (0.6 * lamp.reach * height),
            )
            pool = lamp.power / (1 + dx**2 + dy**2) ** 2
            self._light += pool[..., None] * _rgb(lamp.colour)
            _disc(self._lamps, cx, cy, max(0.8, lamp.radius * height), lamp.glow, lamp.colour)
        for target, panels in ((self._light, c.floodlit), (self._lamps, c.windows)):
            for panel in panels:
                _add_panel(target, panel)

    def __call__(self, day: Image, foreground: NDArray[np.bool_] | None = None) -> Image:
        """The night of one frame.

        Args:
            day: uint8 RGB (H, W, 3).
            foreground: bool (H, W), moving things, which carry the lights of vehicles; None for none.

        Returns:
            uint8 RGB (H, W, 3).
        """
        c = self.conditions
        scene = srgb_to_linear(day) * self._light
        sources = self._lamps.copy()
        if foreground is not None and c.headlights > 0:
            self._vehicle_lights(sources, scene, foreground)
        if c.wet > 0:
            sources += np.float32(c.wet) * self._mirrored(sources)
        light = (scene + sources) * np.float32(c.exposure)
        return self._compressed(self._sensor(self._lens(light)))

    def _vehicle_lights(self, sources: Linear, scene: Linear, foreground: NDArray[np.bool_]) -> None:
        """Two lights low on every vehicle-sized blob, and before front lights a pool on the road."""
        c = self.conditions
        height, width = self.shape
        count, _, boxes, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8), connectivity=8)
        for i in range(1, count):
            left, top, w, h, area = (int(v) for v in boxes[i])
            if area < 3e-4 * height * width or w < 4 or h < 4 or h > 3 * w:
                continue
            middle = (left + w / 2) / width
            oncoming = middle > c.oncoming_side if c.oncoming_side >= 0 else middle < -c.oncoming_side
            y = top + 0.72 * h
            radius = max(0.7, 0.06 * min(w, h))
            power = c.headlights if oncoming else 0.25 * c.headlights
            colour = HEADLIGHT if oncoming else TAIL_LIGHT
            for x in (left + 0.2 * w, left + 0.8 * w):
                _disc(sources, x, y, radius, power, colour)
            if oncoming:
                pool = np.zeros((height, width), np.float32)
                centre = (round(left + w / 2), round(top + h + 0.4 * h))
                cv2.ellipse(
                    pool, centre, (max(2, round(0.7 * w)), max(2, round(0.5 * h))), 0, 0, 360, 0.06, -1
                )
                pool = cv2.GaussianBlur(pool, (0, 0), max(1.0, 0.25 * h))
                scene += pool[..., None] * 0.3 * _rgb(HEADLIGHT)

    def _mirrored(self, sources: Linear) -> Linear:
        """The lights drawn out downwards, each keeping its sum."""
        length = max(1.0, self.conditions.wet_length * self.shape[0])
        tail = np.exp(-np.arange(math.ceil(3 * length)) / length).astype(np.float32)
        # filter2D correlates: of a column from top to bottom the last tap is the pixel itself.
        column = (tail[::-1] / tail.sum())[:, None]
        return cv2.filter2D(
            sources, -1, column, anchor=(0, len(column) - 1), borderType=cv2.BORDER_CONSTANT
        ).astype(np.float32)

    def _lens(self, light: Linear) -> Linear:
        """Part of the light spreads over the picture before it reaches the sensor, unclipped."""
        c = self.conditions
        height, width = self.shape
        out = light * np.float32(1 - sum(share for _, share in c.glare) - c.streak)
        for radius, share in c.glare:
            sigma = max(0.5, radius * height)
            # Wide blurs are taken from a smaller picture: they hold no detail.
            step = max(1, int(sigma // 4))
            small = cv2.resize(
                light, (max(1, width // step), max(1, height // step)), interpolation=cv2.INTER_AREA
            )
            small = cv2.GaussianBlur(small, (0, 0), sigma / step)
            out += np.float32(share) * cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if c.streak > 0:
            out += np.float32(c.streak) * cv2.filter2D(
                light, -1, _line(c.streak_length * height, c.streak_angle)
            )
        return out

    def _sensor(self, light: Linear) -> Image:
        """Photons, noise, clipping, white balance, tone curve."""
        c = self.conditions
        # Long kernels are applied by a Fourier transform, which leaves black a little below zero.
        photons = self.rng.poisson(np.clip(light, 0, 4) * c.photons).astype(np.float32)
        raw = photons / np.float32(c.photons)
        raw += self.rng.normal(0, c.read_noise, raw.shape).astype(np.float32)
        raw = np.clip(raw, 0, 1)
        raw *= _rgb((c.white_balance[0], 1.0, c.white_balance[1]))
        grey = (raw @ _rgb(GREY))[..., None]
        raw = grey + np.float32(c.saturation) * (raw - grey)
        srgb = linear_to_srgb(raw) ** np.float32(c.gamma)
        return np.rint(srgb * 255).astype(np.uint8)

    def _compressed(self, night: Image) -> Image:
        if not self.conditions.jpeg_quality:
            return night
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.conditions.jpeg_quality]
        _, data = cv2.imencode(".jpg", cv2.cvtColor(night, cv2.COLOR_RGB2BGR), quality)
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _rgb(triple: tuple[float, float, float]) -> Linear:
    return np.asarray(triple, np.float32)


def _line(sigma: float, angle: float) -> Linear:
    """A kernel of a Gaussian along a line and one pixel across it, summing to one."""
    radius = max(1, math.ceil(2.5 * sigma))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = c * x + s * y, -s * x + c * y
    kernel = np.exp(-0.5 * (along / max(sigma, 0.5)) ** 2 - 0.5 * (across / 0.6) ** 2)
    rows, columns = kernel.max(axis=1) > 1e-4, kernel.max(axis=0) > 1e-4
    kernel = kernel[rows][:, columns]
    return (kernel / kernel.sum()).astype(np.float32)


def _add_panel(target: Linear, panel: Panel) -> None:
    """Add a panel's light to (H, W, 3)."""
    height, width = target.shape[:2]
    half_w, half_h = 0.5 * panel.width * height, 0.5 * panel.height * height
    cx, cy = panel.x * width, panel.y * height
    edge = max(1.0, panel.softness * 2 * half_h)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    across = np.clip((half_w - np.abs(x - cx)) / edge + 0.5, 0, 1)
    down = np.clip((half_h - np.abs(y - cy)) / edge + 0.5, 0, 1)
    target += (down[:, None] * across)[..., None] * np.float32(panel.power) * _rgb(panel.colour)


def _disc(
    target: Linear, x: float, y: float, radius: float, power: float, colour: tuple[float, float, float]
) -> None:
    """Add an anti-aliased disc of light."""
    height, width = target.shape[:2]
    reach = math.ceil(radius + 1)
    x0, x1 = max(0, math.floor(x) - reach), min(width, math.floor(x) + reach + 1)
    y0, y1 = max(0, math.floor(y) - reach), min(height, math.floor(y) + reach + 1)
    if x0 >= x1 or y0 >= y1:
        return
    yy, xx = np.mgrid[y0:y1, x0:x1]
    cover = np.clip(radius + 0.5 - np.hypot(xx - x, yy - y), 0, 1).astype(np.float32)
    target[y0:y1, x0:x1] += cover[..., None] * np.float32(power) * _rgb(colour)


def foreground_mask(frame: Image, background: Image, *, threshold: int = 28) -> NDArray[np.bool_]:
    """Where a frame differs from the background, cleaned of specks: bool (H, W).

    Args:
        frame: uint8 RGB (H, W, 3).
        background: the same shape.
        threshold: grey levels; the largest difference of the three channels counts.
    """
    difference = np.abs(frame.astype(np.int16) - background.astype(np.int16)).max(axis=2)
    mask = (cv2.GaussianBlur(difference.astype(np.float32), (0, 0), 1.0) > threshold).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    return mask.astype(bool)


def darken(
    frames: list[Image], background: Image, conditions: NightConditions, rng: np.random.Generator
) -> Iterator[Image]:
    """The night of every frame of a clip, vehicles' lights included."""
    if frames:
        simulate = NightSimulator(conditions, frames[0].shape[:2], rng)
        for frame in frames:
            yield simulate(frame, foreground_mask(frame, background))


CONDITIONS = {"train": TRAIN_NIGHT, "test": TEST_NIGHT}


def main(argv: list[str] | None = None) -> int:
    """Darken a clip."""
    parser = argparse.ArgumentParser(prog="python -m train.night", description=__doc__.split("\n")[0])
    parser.add_argument("day", type=Path, help="a clip of a fixed camera by day")
    parser.add_argument("night", type=Path, help="the MP4 to write")
    parser.add_argument("--conditions", choices=(*CONDITIONS, "random"), default="test")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the noise and of random conditions, from 0 up"
    )
    args = parser.parse_args(argv)
    from .scene import SceneError, read_frames, temporal_median

    try:
        rng = np.random.default_rng(args.seed)
        frames = [_even(frame) for frame in read_frames(args.day)]
        conditions = random_conditions(rng) if args.conditions == "random" else CONDITIONS[args.conditions]
        with av.open(str(args.day)) as clip:
            rate = clip.streams.video[0].average_rate or Fraction(25)
        args.night.parent.mkdir(parents=True, exist_ok=True)
        _write_clip(args.night, darken(frames, temporal_median(frames), conditions, rng), rate)
    except SceneError as error:
        parser.exit(2, f"python -m train.night: {error}\n")
    except (ValueError, OSError) as error:  # FFmpeg's errors are both
        parser.exit(2, f"python -m train.night: {args.night}: {error}\n")
    print(f"{args.night}: {len(frames)} frames")
    return 0


def _even(frame: Image) -> Image:
    """Without its last row and column where the sides are odd: 4:2:0 has half as many of colour."""
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]


def _write_clip(path: Path, pictures: Iterator[Image], rate: Fraction) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "27", "preset": "slow"})
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


if __name__ == "__main__":
    raise SystemExit(main())
