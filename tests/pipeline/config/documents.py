"""Configurations that the tests of this folder read, and what reads them."""

from __future__ import annotations

from collections.abc import Callable

from nightday.pipeline.config.load import LoadedConfig

SECRET = "Zk9q7Wx2"
Load = Callable[..., LoadedConfig]
Faults = Callable[..., list[str]]

GOOD = """\
cameras:
  - name: gate
    url: rtsp://viewer:${GATE_PASSWORD}@10.0.0.5/stream1
    outputs: [out/gate/%Y%m%d-%H%M%S.mp4, "rtsp://127.0.0.1:8554/gate-day"]
  - {name: yard, url: clip.mp4, translate: never, loop: true, pace: fast}
defaults:
  model: gate.pt
  snapshot: out/{name}.png
  background: {save: "out/{name}-bg.png", frames: 9}
engine: {backend: eager, max_batch: 4}
"""


def one(**keys: str) -> str:
    """A file with one camera, of these keys and values as YAML."""
    keys = {"name": "gate", "url": "clip.mp4", "model": "gate.pt"} | keys
    return "cameras:\n  -\n" + "".join(f"    {key}: {value}\n" for key, value in keys.items() if value)
