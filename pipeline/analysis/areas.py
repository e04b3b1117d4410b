"""Which objects stand in a zone, and which have crossed a line, by supervision's ``PolygonZone`` and ``LineZone``.

An object is where it stands: in the middle of the lower edge of its box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import supervision as sv
from numpy.typing import NDArray

from ..core.found import Point

# A zone is told to this part of the picture's sides. Its mask takes a megabyte whatever the picture's size.
GRAIN = 1000
# Pictures on which an object has to be on the other side of a line: who stands on it does not cross it each moment.
CROSSED_FOR = 2

Boxes = NDArray[np.float64]
"""(N, 4): x1, y1, x2, y2 in pixels."""


class ZoneArea:
    """A zone of the picture.

    Args:
        points: its corners as shares of the picture's width and height.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        corners = np.rint(np.asarray(points) * GRAIN).astype(np.int64)
        self._zone = sv.PolygonZone(corners, triggering_anchors=(sv.Position.BOTTOM_CENTER,))

    def holds(self, boxes: Boxes, *, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Which boxes of a picture of ``size`` (height, width) stand in it."""
        if not len(boxes):
            return np.zeros(0, bool)
        height, width = size
        found = sv.Detections(xyxy=boxes * GRAIN / (width, height, width, height))
        return np.asarray(self._zone.trigger(found), bool)


class LineAreas:
    """The lines of a picture of one size.

    Args:
        lines: where each begins and ends, as shares of the picture's width and height.
        size: (height, width) of the picture.
    """

    def __init__(self, lines: Mapping[str, tuple[Point, Point]], *, size: tuple[int, int]) -> None:
        height, width = size
        self._ends = {
            name: (np.array(start) * (width, height), np.array(end) * (width, height))
            for name, (start, end) in lines.items()
        }
        self._zones = {
            name: sv.LineZone(
                start=sv.Point(*start),
                end=sv.Point(*end),
                triggering_anchors=(sv.Position.BOTTOM_CENTER,),
                minimum_crossing_threshold=CROSSED_FOR,
            )
            for name, (start, end) in self._ends.items()
        }

    def crossed(self, boxes: Boxes, numbers: Sequence[int]) -> list[tuple[str, Literal["in", "out"], int]]:
        """What has crossed which line: line, direction and number of the object. Once for each picture.

        Args:
            boxes: where each object in sight was found last, whether it was on this picture or not: supervision
                forgets an object that is missing for a few pictures, and a detector misses some.
            numbers: the objects.
        """
        stands = np.stack(((boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]), axis=1)
        done: list[tuple[str, Literal["in", "out"], int]] = []
        for name, zone in self._zones.items():
            start, end = self._ends[name]
            # Supervision would count what walks around the end of a line. So what is beside it is not shown to it.
            along = (stands - start) @ (end - start) / ((end - start) ** 2).sum()
            beside = (along >= 0) & (along <= 1)
            near = [number for number, is_near in zip(numbers, beside, strict=True) if is_near]
            found = sv.Detections(xyxy=boxes[beside].reshape(-1, 4), tracker_id=np.array(near, int))
            went_in, went_out = zone.trigger(found)
            done += [(name, "in", number) for number, yes in zip(near, went_in, strict=True) if yes]
            done += [(name, "out", number) for number, yes in zip(near, went_out, strict=True) if yes]
        return done
