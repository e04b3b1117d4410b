"""Preparing engines before the cameras open."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress

from ..sources.file import picture_size
from ..sources.registry import is_file
from ..translation.warm_up import prepare
from .camera import Camera
from .commands import CommandQueue


def warm_up(cameras: Iterable[Camera], commands: CommandQueue) -> bool:
    """Have each engine prepare the sizes of the files it will be given; False if told to stop meanwhile.

    It takes about a second, in which a file at its own pace would lose 25 frames. What a camera on the network will
    send is not known before it is opened: the workers have that prepared beside the others. A reload asked for
    meanwhile is put back into the queue.
    """

    def work() -> None:
        try:
            for camera in cameras:
                _prepare_for_file(camera)
        finally:
            commands.put("warm")

    threading.Thread(target=work, name="warm-up", daemon=True).start()
    reload = False
    while (command := commands.get(60.0)) != "warm":
        if command == "stop":
            return False
        reload |= command == "reload"
    if reload:
        commands.put("reload")
    return True


def _prepare_for_file(camera: Camera) -> None:
    engine, url = camera.channel.engine, camera.config.url
    if engine is None or not is_file(url):
        return
    with suppress(Exception):  # whatever is wrong with the file, its reader will say
        prepare(engine, *picture_size(url))
