"""The cameras of a configuration as a plan sees them. No camera is opened for it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import av

from nightday.engines.video.streams import NoVideoError, best_video

from ...config.schema import CameraConfig
from ...outputs.encoding.settings import Encoding
from ...outputs.encoding.views import WIDEST_HALF
from ...sources.registry import is_file
from .demands import CameraKind, Scene, Stream, Written
from .profile import PlanError

_FORM = re.compile(r"([1-9][0-9]{1,3})x([1-9][0-9]{1,3})@([0-9]{1,3}(?:\.[0-9]{1,3})?)")
# Output addresses that write files.
_FILES = ("file", "hls")


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is taken of cameras whose size and rate are known only once they are opened."""

    width: int = 1920
    height: int = 1080
    fps: float = 25.0

    @classmethod
    def parse(cls, text: str) -> Assumed:
        """Of e.g. ``1280x720@15``. Raises PlanError for anything else."""
        found = _FORM.fullmatch(text)
        if found is None or not 0 < float(found[3]) <= 240 or min(int(found[1]), int(found[2])) < 16:
            raise PlanError(f"--assume {text}: must be a size and a rate, such as 1280x720@15")
        return cls(int(found[1]), int(found[2]), float(found[3]))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}@{self.fps:g}"


@dataclass(frozen=True, slots=True)
class PlannedCamera:
    """A camera of a configuration.

    Attributes:
        config: its entry.
        kind: what it costs by.
        assumed: whether its size and rate are assumed.
        remarks: what of it is not counted, a clause each.
    """

    config: CameraConfig
    kind: CameraKind
    assumed: bool
    remarks: tuple[str, ...]


def planned(camera: CameraConfig, assumed: Assumed) -> PlannedCamera:
    """A camera as it is planned: at night, in a busy street, unless it is never translated.

    Raises PlanError where it is a file that cannot be read.
    """
    width, height, fps, known = assumed.width, assumed.height, assumed.fps, False
    if is_file(camera.url):
        (width, height, fps), known = _of_file(camera), True
    elif camera.every_s is not None:
        fps = 1 / camera.every_s
    scene: Scene = "day" if camera.checkpoint is None else "busy"
    written: dict[Encoding, list[Written]] = defaultdict(list)
    for output in camera.outputs:
        written[output.encoding].append("recorded" if output.to.scheme in _FILES else "restreamed")
    streams = tuple(
        Stream(
            _pixels(encoding, width, height),
            min(fps, encoding.fps or fps),
            tuple(each),
            encoding.view == "night",
        )
        for encoding, each in written.items()
    )
    remarks = []
    if camera.detect:
        remarks.append("detection is not counted")
    if camera.pace == "fast" and is_file(camera.url):
        remarks.append("a file at `pace: fast` takes all that others leave; it is counted at its own rate")
    kind = CameraKind(width, height, fps, scene, streams, camera.max_age)
    return PlannedCamera(camera, kind, not known, tuple(remarks))


def _pixels(encoding: Encoding, width: int, height: int) -> int:
    """Pixels of an encoded picture."""
    halves = 2 if encoding.view == "pair" else 1
    if encoding.size is not None:
        across, down = encoding.size
        return (across or round(halves * width * down / height)) * down
    if halves == 2:
        smaller = min(1.0, WIDEST_HALF / width)
        return round(2 * width * smaller * height * smaller)
    return width * height


def _of_file(camera: CameraConfig) -> tuple[int, int, float]:
    """Width, height and rate of a file's video."""
    try:
        with av.open(str(camera.url.path)) as container:
            stream = best_video(container)
            rate = stream.average_rate or stream.guessed_rate
            return stream.codec_context.width, stream.codec_context.height, float(rate or 25)
    except (OSError, NoVideoError, av.error.FFmpegError) as error:
        text = " ".join(str(error).split())
        raise PlanError(f"{camera.name}: {camera.url} cannot be read: {text}") from None
