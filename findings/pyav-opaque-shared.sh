#!/usr/bin/env bash
# PyAV 18.1.0: one Python object given as `opaque` to two frames is gone from the second once the first is freed.
# Whoever marks frames with a shared value (an enum's member, a constant) finds None. Way out: an object a frame.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import av

shared = ("the same", "object")
first, second = (av.VideoFrame(16, 16, "yuv420p") for _ in range(2))
first.opaque = second.opaque = shared
print(f"PyAV {av.__version__}: before {second.opaque!r}")
del first
print(f"PyAV {av.__version__}: after the other frame is freed {second.opaque!r}")
raise SystemExit(0 if second.opaque is None else "no longer so: the object is kept")
PYTHON
