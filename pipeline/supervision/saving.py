"""Writing the cameras' pictures now and then, beside everything else."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from .camera import Camera


class PictureSaver:
    """Has cameras write their pictures, in a thread of its own each time, since a disk may hang."""

    def __init__(self) -> None:
        self._files: set[Path] = set()
        # One at a time, so that no old background takes the place of a new one.
        self._saving = threading.Lock()

    @property
    def busy(self) -> bool:
        """Whether pictures are being written."""
        return self._saving.locked()

    @property
    def files(self) -> set[Path]:
        """What was written so far."""
        return self._files.copy()

    def save(self, cameras: Iterable[Camera], *, final: bool = False, within: float = 0.0) -> bool:
        """Write what is new; whether that was done ``within`` seconds. ``final`` says that the cameras end."""
        pictures = [camera.channel.pictures for camera in cameras]

        def work() -> None:
            with self._saving:
                for one in pictures:
                    self._files.update(one.save(final=final))

        thread = threading.Thread(target=work, name="save", daemon=True)
        thread.start()
        thread.join(within)
        return not thread.is_alive()
