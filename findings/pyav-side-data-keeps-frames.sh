#!/usr/bin/env bash
# PyAV: a frame whose side_data was looked at once keeps its picture in memory until the garbage collector comes by.
#
# The frame and its side data container refer to each other, so letting go of the frame frees nothing. A program that looks
# at every frame's side data (a display matrix, motion vectors) holds as many decoded pictures as are made between two runs
# of the collector: dozens to hundreds, each of megabytes. A container made beside the frame, which the frame does not know
# of, tells the same and keeps nothing.
#
# Exits with 1 if it sees something else.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

python3 -m venv env
env/bin/pip install -q av==18.1.0 numpy==2.4.6

env/bin/python - <<'PYTHON'
import gc
import sys

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer


def kept(look):
    """How many of ten frames are still there after each was looked at and let go."""
    gc.collect()
    gc.disable()
    before = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    for _ in range(10):
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        look(frame)
        del frame
    after = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    gc.enable()
    gc.collect()
    return after - before


print("PyAV", av.__version__)
seen = {
    "not looked at": kept(lambda frame: None),
    "frame.side_data": kept(lambda frame: frame.side_data.get("DISPLAYMATRIX")),
    "SideDataContainer(frame)": kept(lambda frame: SideDataContainer(frame).get("DISPLAYMATRIX")),
}
for way, count in seen.items():
    print(f"{way}: {count} of 10 frames are still there")
sys.exit(list(seen.values()) != [0, 10, 0])
PYTHON
