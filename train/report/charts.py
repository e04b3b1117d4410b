"""Line charts of the report: numbers to SVG coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..run.validation import Validation
from ..scores.baselines import Score, best_foreground

# Space around the drawing area, in units of the view box.
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 26


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a chart's legend: the CSS class of its line, and its text."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class YTick:
    """A horizontal grid line: its y, that of its label, and the label."""

    at: str
    text_at: str
    text: str


@dataclass(frozen=True, slots=True)
class XTick:
    """A label under the chart: its x, its ``text-anchor`` and its text."""

    at: str
    anchor: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its CSS class, its SVG path, and its last point."""

    kind: str
    path: str
    end_x: str
    end_y: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A line chart, ready for the template. ``left`` and ``right`` are the ends of its horizontal lines."""

    title: str
    description: str
    big: bool
    width: int
    height: int
    left: int
    right: int
    legend: list[Key]
    y_ticks: list[YTick]
    x_ticks: list[XTick]
    level: str | None
    lines: list[Line]


def charts(
    log: Sequence[dict[str, float]], history: Sequence[Validation], scores: Sequence[Score]
) -> list[Chart]:
    """The charts of a run: its scores on held-back pictures, then every loss of its log.

    Args:
        log: lines of ``log.jsonl``.
        history: the validations.
        scores: of the baselines, and last of the model.
    """
    found: list[Chart | None] = []
    if history:
        steps = [v.step for v in history]
        lines = {
            "moving things": [v.foreground for v in history],
            "whole picture": [v.whole for v in history],
        }
        rival = best_foreground(scores[:-1])
        level = (f"{rival.method}, moving things", rival.foreground)
        found.append(chart("Score on held-back pictures, dB", steps, lines, level, big=True))
        if not all(math.isnan(v.real) for v in history):
            real = {"": [v.real for v in history]}
            found.append(chart("Real nights to the day background, dB", steps, real))
    for name in sorted({key for line in log for key in line} - {"step", "steps_per_s", "seconds"}):
        points = [(int(line["step"]), line[name]) for line in log if name in line]
        found.append(chart(f"Loss: {name}", [step for step, _ in points], {"": [v for _, v in points]}))
    return [each for each in found if each is not None]


def chart(
    title: str,
    steps: Sequence[int],
    lines: dict[str, list[float]],
    level: tuple[str, float] | None = None,
    *,
    big: bool = False,
) -> Chart | None:
    """A line chart, its range and last values in words too; None where there is no finite value.

    Args:
        title: above the chart.
        steps: x of each value.
        lines: values by the names of the lines; a name may be empty.
        level: name and value of a dashed horizontal line.
        big: as wide as the page.
    """
    width, height = (720, 260) if big else (340, 170)
    if level is not None and not math.isfinite(level[1]):
        level = None
    values = [v for line in lines.values() for v in line if math.isfinite(v)]
    if not values:
        return None
    if level is not None:
        values.append(level[1])
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5
    low, high = (0.0 if 0 <= low < room else low - room), high + room
    first, last = min(steps), max(steps)

    def x(step: float) -> float:
        return LEFT + (width - LEFT - RIGHT) * ((step - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return TOP + (height - TOP - BOTTOM) * (high - value) / (high - low)

    x_ticks = [XTick(f"{x(first):.1f}", "start", f"step {first}")]
    if last > first:
        x_ticks.append(XTick(f"{x(last):.1f}", "end", f"{last}"))
    drawn = []
    for i, line in enumerate(lines.values()):
        points = [(x(s), y(v)) for s, v in zip(steps, line, strict=True) if math.isfinite(v)]
        if points:
            path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
            drawn.append(Line(f"c{i}", path, f"{points[-1][0]:.1f}", f"{points[-1][1]:.1f}"))
    legend = [
        Key(f"c{i}", f"{name} {number(line[-1])}") for i, (name, line) in enumerate(lines.items()) if name
    ]
    if level is not None:
        legend.append(Key("level", f"{level[0]} {level[1]:.2f}"))
    ranges = [f"{name or 'value'} from {line[0]:.3g} to {line[-1]:.3g}" for name, line in lines.items()]
    return Chart(
        title=title,
        description=f"{title}: {'; '.join(ranges)}",
        big=big,
        width=width,
        height=height,
        left=LEFT,
        right=width - RIGHT,
        legend=legend,
        y_ticks=[
            YTick(f"{y(value):.1f}", f"{y(value) + 4:.1f}", f"{value:.3g}")
            for value in np.linspace(low, high, 4)
        ],
        x_ticks=x_ticks,
        level=None if level is None else f"{y(level[1]):.1f}",
        lines=drawn,
    )


def number(value: float) -> str:
    """A score with two decimals; a dash for none."""
    return "–" if math.isnan(value) else f"{value:.2f}"
