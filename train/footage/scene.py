"""A scene on disk: folders of day and night pictures or clips, usually of one fixed camera, and x_ref."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from nightday.engines.errors import NightdayError
from nightday.engines.video.streams import NoVideoError, best_video, pictures

from .even_sample import Part, Progress, even_positions, read_evenly
from .files import footage_files, is_picture, nothing_read, part_files, part_folders, passed_over
from .labels import labels_of
from .mean import mean_of
from .picture_store import Keep, PictureStore

Image = NDArray[np.uint8]
T = TypeVar("T")
Reference = Literal["median", "mean"]
"""What x_ref is of the days: their median for a fixed camera, their mean where none is, as in driving scenes."""

# Frames of a median; more change it by less than its rounding.
MEDIAN_FRAMES = 101
# Pictures of the night that are kept back for the report.
HELD_NIGHTS = 8
FEWEST_NIGHTS_BACK = 4
# Frames kept of day and of night; they stay in memory.
MAX_FRAMES = 2000
# Bytes of the frames that a median looks at in one go. All at once would take as much memory again as they do.
_MEDIAN_BYTES = 1 << 20
# Files that cannot be read which are named one by one.
_NAMED = 3


class SceneError(NightdayError, ValueError):
    """A scene's folder cannot be used. The message is one line and names the folder or file."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Pictures of one size, usually of one fixed camera.

    Attributes:
        name: the folder's name.
        day, night: uint8 RGB (H, W, 3) each, in the order of file names and time.
        background: x_ref, uint8 RGB (H, W, 3).
        held_back: the last of the day, for validation alone.
        held_back_nights: some of the last of the night, for the report alone.
        night_boxes: what is labelled in each of these, (N, 4) in pixels as x1, y1, x2, y2; empty without labels.
        left_out: a line for each file that could not be read, or not whole, and what to do about it.
        passed_over: a line on files of kinds that are not read at all.
        fixed_camera: whether x_ref is what the camera sees when nothing passes. Else it is the mean of the days, and
            what differs from it need not move.
    """

    name: str
    day: list[Image]
    night: list[Image]
    background: Image
    held_back: list[Image] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    held_back_nights: list[Image] = field(default_factory=list)
    night_boxes: list[NDArray[np.float64]] = field(default_factory=list)
    fixed_camera: bool = True


def load_scene(
    folder: Path,
    *,
    max_frames: int = MAX_FRAMES,
    hold_back: float = 0.0,
    background: Reference = "median",
    progress: Progress = lambda _done, _of: None,
) -> Scene:
    """Read ``folder``/day, ``folder``/night and, if it is there, ``folder``/background.png.

    Pictures and clips may lie in folders of their own there, and day/ and night/ in a folder for each date
    (2026-01-02/day/). Hidden files are passed over. A file that cannot be read is left out. Memory holds the frames
    that are kept and hardly more, however many there are.

    Args:
        folder: the scene.
        max_frames: the most frames kept of day and of night, spread evenly; they stay in memory.
        hold_back: share of the day, from its end, that becomes ``held_back`` and is part neither of ``day`` nor of
            the median. It is rounded down: a tenth of fewer than 10 frames is none. Of twice that share of the
            night, at most half of it, ``HELD_NIGHTS`` pictures or fewer become ``held_back_nights``, evenly spread,
            and none is part of ``night``. Fewer than ``FEWEST_NIGHTS_BACK`` would not tell anything: then none.
        background: what x_ref is of ``day``, unless there is a background.png.
        progress: told how many frames of day, and then of night, have been passed.

    Raises:
        SceneError: a folder is missing or empty, none of its files can be read, sizes differ, or there is a
            background.png where the mean is asked for.
        OSError: a folder in it cannot be read.
    """
    if not folder.is_dir():
        raise SceneError(f"{folder}: no such folder; a scene has day/ and night/ in it")
    faults: dict[Path, str] = {}
    parts = []
    for part in ("day", "night"):
        if not part_folders(folder, part):
            raise SceneError(f"{folder / part}: no such folder; put pictures or clips of the camera there")
        parts.append(_read_files(folder / part, part_files(folder, part), max_frames, faults, progress))
    day, taken = ([image for _, image in part] for part in parts)
    nights_back = int(min(2 * hold_back, 0.5) * len(taken))
    split = len(taken) - (nights_back if nights_back >= FEWEST_NIGHTS_BACK else 0)
    night, kept_back = taken[:split], spread(parts[1][split:], HELD_NIGHTS)
    kept = len(day) - int(hold_back * len(day))
    day, held_back = day[:kept], day[kept:]
    path = folder / "background.png"
    if path.is_file() and background == "mean":
        raise SceneError(f"{path}: is of a fixed camera; delete it, or leave --background mean out")
    x_ref = read_background(path) if path.is_file() else reference_of(day, background)
    shape = day[0].shape
    for what, image in (("night", night[0]), ("background.png", x_ref)):
        if image.shape != shape:
            raise SceneError(f"{folder}: day is {_size(day[0])} but {what} is {_size(image)}; give one size")
    return Scene(
        folder.resolve().name,
        day,
        night,
        x_ref,
        held_back,
        held_back_nights=[image for _, image in kept_back],
        night_boxes=labels_of([path for path, _ in kept_back], shape),
        left_out=[*faults.values()],
        passed_over=passed_over(path for part in ("day", "night") for path in part_folders(folder, part)),
        fixed_camera=background == "median",
    )


def load_day(
    path: Path,
    *,
    max_frames: int = MAX_FRAMES,
    background: Reference = "median",
    progress: Progress = lambda _done, _of: None,
) -> Scene:
    """Another camera's day: a clip, a folder of clips or pictures, or a scene's folder, whose day/ is taken.

    Raises:
        SceneError: nothing is there, none of its files can be read, sizes differ.
        OSError: a folder in it cannot be read.
    """
    if path.is_dir():
        folders = part_folders(path, "day") or [path]
        files = [file for folder in folders for file in footage_files(folder)]
    elif path.is_file():
        folders, files = [], [path]
    else:
        raise SceneError(f"{path}: no such clip or folder of another camera's day")
    faults: dict[Path, str] = {}
    day = [image for _, image in _read_files(path, files, max_frames, faults, progress)]
    x_ref, fixed, unread = reference_of(day, background), background == "median", passed_over(folders)
    left_out = [*faults.values()]
    return Scene(path.resolve().stem, day, [], x_ref, [], left_out, unread, fixed_camera=fixed)


def clip_median(path: Path) -> Image:
    """``temporal_median`` of a clip of any length.

    Raises:
        SceneError: the clip cannot be read.
    """
    frames = _read_files(path, [path], MEDIAN_FRAMES, {}, lambda _done, _of: None)
    return temporal_median([image for _, image in frames])


def brief(left_out: Sequence[str]) -> str:
    """What could not be read, in one line: the first of it, and how much more there is."""
    more = len(left_out) - _NAMED
    return "; ".join(left_out[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _read_files(
    folder: Path, files: Sequence[Path], max_frames: int, faults: dict[Path, str], progress: Progress
) -> list[tuple[Path, Image]]:
    """At most ``max_frames`` frames of the files, evenly spread; what cannot be read is added to ``faults``.

    Each comes with its file.
    """
    if not files:
        raise SceneError(f"{folder}: {nothing_read(folder)}")
    before, store = {*faults}, PictureStore()
    counts = {path: _count(path, faults) for path in files}
    parts = [
        Part(count, partial(_picture_frames if is_picture(path) else _clip_frames, path, faults, store.keep))
        for path, count in counts.items()
    ]
    frames = read_evenly(parts, max_frames, progress)
    if not frames:
        first = next(text for path, text in faults.items() if path not in before)
        alone = files == [folder]
        raise SceneError(
            first if alone else f"{folder}: none of its {len(files)} files can be read; the first: {first}"
        )
    for path, image in frames:
        if image.shape != frames[0][1].shape:
            raise SceneError(
                f"{path}: {_size(image)}, but {frames[0][0].name} is {_size(frames[0][1])}; give one size"
            )
    return list(frames)


def _count(path: Path, faults: dict[Path, str]) -> int:
    """How many frames a file probably holds; 0 where it surely cannot be read."""
    if not path.is_file():
        faults[path] = f"{path}: is no file, or a link to one that is not there; delete it"
    elif path.stat().st_size == 0:
        faults[path] = f"{path}: is empty (0 bytes); delete it, or save it again"
    elif not is_picture(path):
        try:
            with av.open(str(path)) as clip:
                return sum(1 for packet in clip.demux(best_video(clip)) if packet.size)
        except (NoVideoError, av.FFmpegError, OSError) as error:
            faults[path] = _no_clip(path, error)
    elif cv2.haveImageReader(str(path)):
        return 1
    else:
        faults[path] = _no_picture(path)
    return 0


def _clip_frames(
    path: Path, faults: dict[Path, str], keep: Keep
) -> Iterator[Callable[[], tuple[Path, Image]]]:
    """Every frame of a clip. A damaged one is left out and added to ``faults``, and so is a clip without any."""
    found = 0
    damage: list[None] = []
    try:
        with av.open(str(path)) as clip:
            for make in pictures(clip, damaged=lambda: damage.append(None)):
                found += 1
                yield partial(_kept, path, make, keep)
    except (NoVideoError, av.FFmpegError, OSError) as error:
        faults[path] = _no_clip(path, error) if not found else f"{path}: breaks off after {found} frames"
        return
    if not found:
        faults[path] = f"{path}: holds no frame; delete it, or save it again"
    elif damage:
        faults[path] = f"{path}: {len(damage)} damaged frames of it are left out"


def _kept(path: Path, make: Callable[[], Image], keep: Keep) -> tuple[Path, Image]:
    return path, keep(make())


def _picture_frames(
    path: Path, faults: dict[Path, str], keep: Keep
) -> Iterator[Callable[[], tuple[Path, Image] | None]]:
    """The one frame of a picture file; none, and added to ``faults``, where it cannot be read."""

    def read() -> tuple[Path, Image] | None:
        try:
            return path, keep(read_picture(path))
        except SceneError as error:
            faults[path] = str(error)
            return None

    yield read


def clip_frames(path: Path) -> Iterator[Image]:
    """Every frame of a clip as it is to be shown, upright, one after the other: uint8 RGB (H, W, 3).

    Raises:
        SceneError: the clip cannot be read, or not whole.
    """
    faults: dict[Path, str] = {}
    for make in _clip_frames(path, faults, lambda image: image):
        yield make()[1]
    for fault in faults.values():
        raise SceneError(fault)


def read_frames(path: Path) -> list[Image]:
    """``clip_frames`` as a list: all of them in memory."""
    return list(clip_frames(path))


def read_background(path: Path) -> Image:
    """A background.png. Raises SceneError where it cannot be read."""
    try:
        return read_picture(path)
    except SceneError as error:
        raise SceneError(f"{error}; without it the median of the day is taken") from None


def read_picture(path: Path) -> Image:
    """A picture file, uint8 RGB (H, W, 3). Raises SceneError where it cannot be read."""
    try:
        data = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # OpenCV's for an empty file, or one that would be huge
        data = None
    if data is None:
        raise SceneError(_no_picture(path))
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB), np.uint8)


def _no_picture(path: Path) -> str:
    return f"{path}: cannot be read as a picture; delete it, or save it again"


def _no_clip(path: Path, error: Exception) -> str:
    why = f": {error}" if isinstance(error, NoVideoError) else f" ({type(error).__name__})"
    return f"{path}: cannot be read as a clip{why}; delete it, or save it again"


def write_picture(path: Path, rgb: Image) -> None:
    """Write uint8 RGB (H, W, 3) as the format the file name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not ok:
        raise OSError(f"{path}: cannot encode a {path.suffix} picture")
    path.write_bytes(data.tobytes())


def spread(images: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of the images, evenly spread, the first and the last among them."""
    return [images[i] for i in even_positions(len(images), count)]


def reference_of(days: list[Image], what: Reference) -> Image:
    """x_ref of the days: uint8 RGB (H, W, 3)."""
    return temporal_median(days) if what == "median" else mean_of(days)


def temporal_median(frames: list[Image]) -> Image:
    """The per-pixel median over the clip (x_ref): things that move are gone, without the ghosts of a mean."""
    looked_at = spread(frames, MEDIAN_FRAMES)
    median = np.empty_like(looked_at[0])
    rows = max(1, _MEDIAN_BYTES // (len(looked_at) * median[0].nbytes))
    for top in range(0, len(median), rows):
        band = np.stack([frame[top : top + rows] for frame in looked_at])
        median[top : top + rows] = np.rint(np.median(band, axis=0, overwrite_input=True))
    return median


def _size(image: Image) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"
