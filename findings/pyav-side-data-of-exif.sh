#!/usr/bin/env bash
# PyAV 18.1.0: `frame.side_data` of a JPEG with EXIF raises "ValueError: 31 is not a valid Type".
# FFmpeg 8 gives EXIF as side data of its own, which PyAV's enumeration lacks, so nothing else of the frame's side data can
# be read either. Way out: `frame.rotation`, which asks for the display matrix alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy opencv-python-headless
"$folder/venv/bin/python" - <<'PYTHON'
import io, struct
import av, cv2, numpy as np

jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
turned = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)  # orientation 6
exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + turned + bytes(4)
jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:]
with av.open(io.BytesIO(jpeg)) as container:
    frame = next(container.decode(video=0))
print(f"PyAV {av.__version__}: rotation {frame.rotation}")
try:
    print("side data:", [*frame.side_data])
except ValueError as error:
    print(f"side data: {type(error).__name__}: {error}")
    raise SystemExit(0)
raise SystemExit("no longer so: the side data is read")
PYTHON
