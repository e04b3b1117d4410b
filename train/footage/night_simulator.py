"""A physical night simulation: a day picture becomes a night one, and the day stays as its truth.

No camera gives both at once. The steps are those of light on its way to the file. The day picture, made linear, is
taken for the reflectance of the scene. A weak sky and street lamps light it. Lamps, head- and tail lights shine into
the lens and spread there (glare, streak). The sensor counts photons (shot noise), adds its own read noise and clips.
White balance and the tone curve bring it back to sRGB, and compression removes much of what the dark had left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from .foreground import foreground_mask
from .linear_light import Linear, linear_to_srgb, srgb_to_linear
from .night_conditions import NightConditions, Panel
from .scene import Image

# Colours in linear RGB.
TAIL_LIGHT = (1.0, 0.06, 0.03)
HEADLIGHT = (1.0, 1.0, 0.95)
GREY = (0.2126, 0.7152, 0.0722)


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
        anchor = (0, len(column) - 1)
        drawn = cv2.filter2D(sources, -1, column, anchor=anchor, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(drawn, np.float32)

    def _lens(self, light: Linear) -> Linear:
        """Part of the light spreads over the picture before it reaches the sensor, unclipped."""
        c = self.conditions
        height, width = self.shape
        out: Linear = light * np.float32(1 - sum(share for _, share in c.glare) - c.streak)
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
        return np.asarray(np.rint(srgb * 255), np.uint8)

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
    return np.asarray(kernel / kernel.sum(), np.float32)


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


def darken(
    frames: Iterable[Image], background: Image, conditions: NightConditions, rng: np.random.Generator
) -> Iterator[Image]:
    """The night of every frame of a clip, vehicles' lights included."""
    simulate = NightSimulator(conditions, background.shape[:2], rng)
    for frame in frames:
        yield simulate(frame, foreground_mask(frame, background))
