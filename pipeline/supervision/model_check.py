"""Whether models were made for the cameras that name them, as far as pictures at hand tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from nightday.engines.video.colour import to_rgb
from nightday.engines.video.look import LookReader, upright
from nightday.engines.video.streams import best_video

from ..config.fields import AUTO
from ..config.load import LoadedConfig
from ..config.schema import CameraConfig
from ..core.camera_url import CameraUrl
from ..media.ffmpeg import open_input
from ..scene.background_file import BackgroundRefusedError, load_background
from ..scene.model_fit import shows_scene
from ..scene.model_scene import of_fixed_camera, scene_of
from ..scene.night_gate import TIMES_OF_DAY
from ..scene.scene_change import small_view
from ..scene.training_pictures import newest_pictures
from ..sources.file import OPTIONS
from ..sources.registry import is_file

# Pictures of each kind that are looked at.
PICTURES = 7
# Seconds that opening a file may take.
WITHIN = 5.0

Grey = NDArray[np.uint8]


def model_faults(loaded: LoadedConfig) -> list[str]:
    """A line for each camera whose pictures at hand do not show the scene of its model, with its place in the file.

    Also one for each key that asks for a background where the model was trained without a fixed camera.

    Pictures are at hand where the source is a file, where pictures were collected, and where a background was kept.
    """
    faults = []
    for index, camera in enumerate(loaded.config.cameras):
        # The general model is of no scene.
        if camera.model == AUTO or camera.translate == "never":
            continue
        if not of_fixed_camera(camera.model):
            faults += _of_fixed_cameras_alone(loaded, index, camera)
            continue
        scene = None if camera.any_scene else scene_of(camera.model)
        if scene is None:
            continue
        grey = small_view(scene.rgb)[1]
        for where, views in _pictures(camera):
            if shows_scene(grey, views) is False:
                message = (
                    f"{camera.model} was made for another scene than camera {camera.name} shows in {where}; "
                    f"train one on this camera's pictures with nightday-train, or set any_scene: true to keep it"
                )
                faults.append(loaded.fault(("cameras", index, "model"), message))
                break
    return faults


def _of_fixed_cameras_alone(loaded: LoadedConfig, index: int, camera: CameraConfig) -> list[str]:
    """A line for each key that nothing can be done about without a fixed camera."""
    why = f"{camera.model} was trained without a fixed camera (--background mean), so that camera {camera.name} has"
    asked = {
        "background": (camera.background is not None, "no empty scene to keep"),
        "overlay": (camera.overlay == "trust", "no trust map"),
    }
    return [
        loaded.fault(("cameras", index, key), f"{why} {lacks}; leave `{key}` out")
        for key, (wanted, lacks) in asked.items()
        if wanted
    ]


def _pictures(camera: CameraConfig) -> Iterator[tuple[str, list[Grey]]]:
    """Pictures of a camera that are at hand, by where they are."""
    if is_file(camera.url):
        yield str(camera.url), [small_view(rgb)[1] for rgb in _frames(camera.url)]
    if camera.collect is not None:
        for time_of_day in TIMES_OF_DAY:
            folder = camera.collect.folder / time_of_day
            yield str(folder), [small_view(rgb)[1] for rgb in newest_pictures(folder, PICTURES)]
    if camera.background is not None:
        path = camera.background.save.with_suffix(".state")
        try:
            kept = load_background(path, camera=camera.name, source=str(camera.url))
        except BackgroundRefusedError:  # the run tells
            return
        if kept is not None:
            yield str(path), [picture for picture, _ in kept.views.values()]


def _frames(url: CameraUrl) -> list[NDArray[np.uint8]]:
    """A few frames spread over a video file, (H, W, 3) RGB each; none if it cannot be read, which the run tells."""
    frames: list[NDArray[np.uint8]] = []
    seen: set[int | None] = set()
    try:
        with open_input(
            f"file:{url.path}", options=OPTIONS, open_timeout=WITHIN, stall_timeout=WITHIN
        ) as container:
            stream, reformatter = best_video(container), VideoReformatter()
            looks = LookReader(stream)
            length = container.duration or 0
            for number in range(PICTURES if length else 1):
                if number:
                    container.seek((container.start_time or 0) + number * length // PICTURES)
                frame = next(container.decode(stream), None)
                if frame is not None and frame.pts not in seen:  # there may be few key frames to seek
                    seen.add(frame.pts)
                    looks.give(frame)
                    frames.append(upright(to_rgb(frame, reformatter), frame))
    except (OSError, ValueError):
        pass
    return frames
