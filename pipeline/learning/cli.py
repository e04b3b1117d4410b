"""``nightday-learn``: which of their own models serve the cameras of a configuration, and taking one back."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from ..config.errors import ConfigError
from ..config.load import load_config
from ..config.schema import CameraConfig, LearningConfig
from .own_folder import OwnModels
from .own_models import folder_of

PROGRAM = "nightday-learn"


def main(argv: Sequence[str] | None = None) -> int:
    """List or take back; exit 0 when done, 2 when the configuration or the arguments are wrong."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Shows what cameras' own models came to, and takes one out of service."
    )
    parser.add_argument(
        "--cameras", metavar="FILE", required=True, help="the configuration of nightday-stream"
    )
    parser.add_argument(
        "--take-back",
        metavar="NAME",
        help="have the model serve again that this camera's own one replaced; nightday-stream does so at its next "
        "reload or start",
    )
    options = parser.parse_args(argv)
    try:
        config = load_config(options.cameras).config
    except ConfigError as error:
        print("\n".join(error.faults), file=sys.stderr)
        return 2
    cameras = {camera.name: camera for camera in config.cameras}
    if options.take_back is None:
        print("\n".join(line for camera in config.cameras for line in _lines(camera, config.learning)))
        return 0
    camera = cameras.get(options.take_back)
    if camera is None:
        print(f"{PROGRAM}: no camera {options.take_back!r}; there are: {', '.join(cameras)}", file=sys.stderr)
        return 2
    folder = folder_of(camera, config.learning)
    own = folder.read()
    if own.serves is None:
        print(
            f"{PROGRAM}: the general model serves {camera.name}; there is nothing to take back",
            file=sys.stderr,
        )
        return 2
    own = own.without("taken back", "it was taken back by hand")
    folder.write(own)
    print(
        f"{camera.name}: {_serving(own)} from the next reload of nightday-stream on (SIGHUP) or its next start"
    )
    return 0


def _lines(camera: CameraConfig, learning: LearningConfig) -> list[str]:
    if not camera.learns:
        return [f"{camera.name}: learns no model of its own"]
    folder = folder_of(camera, learning)
    own = folder.read()
    lines = [f"{camera.name}: {_serving(own)}"]
    for one in own.rounds:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.ended))
        lines.append(f"  round {one.number}, {day}: {one.outcome}; {one.why}")
    if folder.report.is_file():
        lines.append(f"  report of the last round: {folder.report}")
    return lines


def _serving(own: OwnModels) -> str:
    return "the general model serves" if own.serves is None else f"its own model of round {own.serves} serves"


if __name__ == "__main__":
    sys.exit(main())
