"""Reading a configuration imports nothing heavy, whatever it holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CAMERAS = """\
cameras:
  - name: gate
    url: rtsp://10.0.0.5/s
    model: gate.pt
    outputs: ["out/%Y%m%d.mp4", "rtsp://127.0.0.1:8554/gate"]
    retention: {days: 7}
    collect: training/{name}
engine: {backend: openvino, precision: int8}
http: {port: 0}
"""
READ = """\
import sys
from nightday.pipeline.config.load import load_config, read_document
(camera,) = load_config("cameras.yaml").config.cameras
assert [output.scheme for output in camera.outputs] == ["file", "rtsp"]
read_document("cameras.yaml")
print(*sorted({"torch", "av", "cv2", "numpy"} & set(sys.modules)))
"""


def test_a_configuration_is_read_without_pytorch_ffmpeg_and_opencv(tmp_path: Path) -> None:
    (tmp_path / "cameras.yaml").write_text(CAMERAS)
    (tmp_path / "gate.pt").write_bytes(b"not looked into")
    done = subprocess.run(
        [sys.executable, "-c", READ], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
