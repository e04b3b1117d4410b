"""``detect``: what is looked for, on which view, and where: zones and lines of the picture."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nightday.engines.distribution import INSTALL_DETECT, INSTALL_TRACK

from .fields import Count, Number, fail, is_off, require_path, require_text
from .section import Section

# Most zones, or lines, of a camera, and most points of a zone.
MOST_AREAS = 32
MOST_POINTS = 64
# A zone whose area is a smaller share of the picture's holds nothing.
LEAST_AREA = 1e-6
# A name in a program: where an entry point begins, and what it names there.
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# How ultralytics ends the name of a model that is a folder.
_EXPORTED_FOLDER = "_openvino_model"

Point = tuple[float, float]
"""x and y as shares of the picture's width and height, 0 to 1."""


class DetectorChoice(NamedTuple):
    """A detector as a camera asks for it. Cameras that ask for the same share one.

    Attributes:
        model: a model file or folder, or ``package.module:name`` of what is written in Python.
        confidence: the least confidence of what it gives.
        iou: of two boxes of a class that overlap by more, the one with less confidence is dropped.
    """

    model: Path | str
    confidence: float
    iou: float


def _share(value: object) -> object:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):  # type: ignore[arg-type]
        fail("must be a number from 0 to 1, a share of the picture's width or height")
    if not 0 <= value <= 1:  # type: ignore[operator]
        fail(
            "is outside the picture; points are [x, y] as shares of its width and height, 0 to 1, not pixels"
        )
    return float(value)  # type: ignore[arg-type]


def _corner(value: object) -> object:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        fail("must be [x, y], shares of the picture's width and height from its upper left corner")
    return value


def _polygon(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if len(points) < 3:
        fail(f"has {len(points)} points; a zone needs at least 3, e.g. [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]")
    if len(points) > MOST_POINTS:
        fail(f"has {len(points)} points, more than the {MOST_POINTS} that a zone may have")
    edges = list(zip(points, points[1:] + points[:1], strict=True))
    twice = next((begin for begin, end in edges if begin == end), None)
    if twice is not None:
        fail(f"has the point [{twice[0]:g}, {twice[1]:g}] twice in a row; leave one out, the last too")
    for (one, first), (other, second) in combinations(enumerate(edges), 2):
        neighbours = other - one in (1, len(edges) - 1)
        if _meet(first, second, neighbours=neighbours):
            fail(
                f"has edges {one + 1} and {other + 1} that cross each other; "
                "give the points in the order in which one walks around the zone"
            )
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in edges) / 2
    if abs(area) < LEAST_AREA:
        fail("has no area; its points lie on one line")
    return points


def _meet(first: tuple[Point, Point], second: tuple[Point, Point], *, neighbours: bool) -> bool:
    """Whether two edges have a point in common; of neighbours one more than the corner they share."""
    (a, b), (c, d) = first, second
    if neighbours:
        if a == d:  # the last edge ends where the first begins
            (a, b), (c, d) = (c, d), (a, b)
        # They overlap where one turns right back.
        along = (b[0] - a[0]) * (d[0] - c[0]) + (b[1] - a[1]) * (d[1] - c[1])
        return _side(a, b, d) == 0 and along < 0
    sides = _side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)
    if sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0:
        return True
    touching = ((c, a, b), (d, a, b), (a, c, d), (b, c, d))
    return any(
        side == 0 and _within(point, one, other)
        for side, (point, one, other) in zip(sides, touching, strict=True)
    )


def _side(a: Point, b: Point, point: Point) -> int:
    """On which side of the line from ``a`` to ``b`` a point lies: 1, -1, or 0 on it, but for rounding."""
    cross = (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])
    return 0 if abs(cross) < 1e-12 else 1 if cross > 0 else -1


def _within(point: Point, a: Point, b: Point) -> bool:
    return all(min(one, other) <= at <= max(one, other) for at, one, other in zip(point, a, b, strict=True))


def _class(value: object) -> str:
    return require_text(value, what="the name of a class (put it in quotes)")


Share = Annotated[float, BeforeValidator(_share)]
Corner = Annotated[tuple[Share, Share], BeforeValidator(_corner)]
Class = Annotated[str, BeforeValidator(_class)]
AreaName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ZoneConfig(Section):
    """One entry of ``zones``.

    Attributes:
        points: its corners in the order in which one walks around it.
        classes: those that count in it; all that the camera looks for where it is empty.
    """

    points: Annotated[tuple[Corner, ...], AfterValidator(_polygon)]
    classes: tuple[Class, ...] = ()


class LineConfig(Section):
    """One entry of ``lines``. What crosses it from right to left, for one who looks along it, goes ``in``.

    Attributes:
        start: where it begins, ``from`` in a file.
        end: where it ends, ``to`` in a file.
    """

    start: Corner = Field(alias="from")
    end: Corner = Field(alias="to")

    @field_validator("end")
    @classmethod
    def _has_a_length(cls, value: Point, info: ValidationInfo) -> Point:
        if value == info.data.get("start"):
            fail("is where the line begins; a line needs a length")
        return value


def _model(value: object, info: ValidationInfo) -> Path | str:
    if isinstance(value, str) and _ENTRY_POINT.fullmatch(value) and not Path(value).exists():
        return value
    path = require_path(value)
    try:
        if path.is_dir() and not path.name.endswith(_EXPORTED_FOLDER):
            fail("is a folder, not a model")
        if not path.exists():
            fail("no such model file")
    except OSError as error:
        fail(f"cannot be read: {error.strerror}")
    if importlib.util.find_spec("ultralytics") is None:
        fail(f"detection needs ultralytics; install it with: {INSTALL_DETECT}")
    return path


class DetectConfig(Section):
    """``detect``: a detector and what is made of what it finds.

    Attributes:
        model: a model file or folder of ultralytics, or ``package.module:name`` of a detector in Python.
        classes: what is looked for, by the model's names; everything where it is empty.
        confidence: what is found with this confidence or less does not count.
        iou: of two boxes of a class that overlap by more, the one with less confidence is dropped.
        on: where it looks: on the picture as it is shown, on the camera's own, or on both.
        zones: parts of the picture in which objects are counted.
        lines: lines whose crossings are counted.
        track: whether objects are followed from picture to picture.
        every: how many pictures come to one that is looked at.
    """

    model: Annotated[Path | str, PlainValidator(_model)]
    classes: tuple[Class, ...] = ()
    confidence: Annotated[Number, Field(ge=0, lt=1)] = 0.25
    iou: Annotated[Number, Field(ge=0, le=1)] = 0.7
    on: Literal["day", "night", "both"] = "day"
    zones: dict[AreaName, ZoneConfig] = Field(default_factory=dict, max_length=MOST_AREAS)
    lines: dict[AreaName, LineConfig] = Field(default_factory=dict, max_length=MOST_AREAS)
    track: bool = False
    every: Count = Field(default=1, ge=1, le=1000)

    @model_validator(mode="before")
    @classmethod
    def _lines_need_tracks(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("lines") and data.get("track") is None:
            return {**data, "track": True}
        return data

    @field_validator("track")
    @classmethod
    def _can_track(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("lines"):
            fail("is false, but what crosses a line has to be followed; leave track out, or the lines")
        missing = [name for name in ("trackers", "supervision") if importlib.util.find_spec(name) is None]
        if value and missing:
            fail(f"needs {' and '.join(missing)}, and so do lines; install it with: {INSTALL_TRACK}")
        return value

    @field_validator("zones")
    @classmethod
    def _can_be_told(cls, value: dict[str, ZoneConfig], info: ValidationInfo) -> dict[str, ZoneConfig]:
        classes = info.data.get("classes")
        for name, zone in value.items():
            others = [label for label in zone.classes if classes and label not in classes]
            if others:
                fail(
                    f"has {others[0]!r} in {name}, which is not among the classes that this camera looks for"
                )
        if value and importlib.util.find_spec("supervision") is None:
            fail(f"needs supervision; install it with: {INSTALL_TRACK}")
        return value

    @property
    def detector(self) -> DetectorChoice:
        """Its detector. Where objects are followed, what is found with half the confidence helps to follow them."""
        return DetectorChoice(self.model, self.confidence / 2 if self.track else self.confidence, self.iou)


def _detect(value: object, info: ValidationInfo) -> DetectConfig | Literal[False]:
    if is_off(value):
        return False
    if isinstance(value, (str, Path)):
        value = {"model": value}
    if not isinstance(value, (Mapping, DetectConfig)):
        fail("must be false or the path of an ultralytics model (e.g. weights/vehicles.pt)")
    return DetectConfig.model_validate(value, context=info.context)


Detection = Annotated[DetectConfig | Literal[False], PlainValidator(_detect)]
