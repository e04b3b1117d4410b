"""The demo: the two cameras of the checkout's ``cameras.yaml``, on the clips that come with the package.

``demo.yaml`` beside this module is a copy of that file (a test compares them), so that the demo runs without a
checkout and stays the same when a user puts cameras of their own into ``cameras.yaml``.
"""

from __future__ import annotations

from pathlib import Path

from nightday.engines.bundled import bundled_clips

DEMO_FILE = Path(__file__).with_name("demo.yaml")
DEMO_SECONDS = 30.0


def demo_overrides() -> list[str]:
    """``--set`` values by which the files that ``demo.yaml`` reads are found wherever the package is installed.

    What it writes still goes below the current directory.
    """
    import yaml

    root = yaml.safe_load(DEMO_FILE.read_text(encoding="utf-8"))
    return [
        f"cameras.{camera['name']}.url={bundled_clips() / Path(camera['url']).name}"
        for camera in root["cameras"]
    ]
