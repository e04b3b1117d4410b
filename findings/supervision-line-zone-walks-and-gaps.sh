#!/usr/bin/env bash
# supervision's LineZone counts what walks around the end of a line, and not what a detector misses while it crosses.
#
# One object, the anchor in the middle of the lower edge. The first comes to the line's left side, walks around the
# line's end, at all times more than half of the line's length away from it, and back to the line on the other side: it
# is counted as having crossed. The second goes straight through the middle, but is missed for two pictures out of thirty,
# those at the line: it is not counted, since LineZone forgets an object after minimum_crossing_threshold + 1 pictures.
#
# Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
python3 -m venv .venv
.venv/bin/pip install -q supervision==0.31.2 opencv-python-headless==4.11.0.86

.venv/bin/python - <<'PYTHON'
import numpy as np
import supervision as sv

print("supervision", sv.__version__)


def counted(path):
    """In and out of a line from (100, 0) up to (100, 100), of an object that stands at each point; None is missed."""
    line = sv.LineZone(
        start=sv.Point(100, 0), end=sv.Point(100, 100), triggering_anchors=(sv.Position.BOTTOM_CENTER,)
    )
    for point in path:
        if point is None:
            line.trigger(sv.Detections.empty())
        else:
            x, y = point
            box = np.array([[x - 5, y - 10, x + 5, y]], float)
            line.trigger(sv.Detections(xyxy=box, tracker_id=np.array([1])))
    return line.in_count, line.out_count


there = [(40, y) for y in range(50, 160, 5)]
across = [(x, 160) for x in range(40, 165, 5)]
back = [(160, y) for y in range(160, 45, -5)]
around = counted(there + across + back)
through = [(x, 50) for x in range(25, 176, 5)]
straight, missed = counted(through), counted([None if abs(x - 100) <= 2.5 or x == 105 else (x, y) for x, y in through])
print(f"around the end {around}, straight through {straight}, the same with two pictures missed {missed}")
raise SystemExit((around, straight, missed) != ((1, 0), (1, 0), (0, 0)))
PYTHON
