"""What a run leaves behind: pictures that are written now and then, and the list of the files recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from ..core.events import Event, FileBegun
from ..media.malloc_trim import malloc_trimmer
from ..monitoring.night_reports import NightReports
from .camera import Camera


class RecordedFiles:
    """The files that outputs have begun; its ``note`` is to be subscribed to the run's events."""

    def __init__(self) -> None:
        self._paths: set[Path] = set()

    def note(self, event: Event) -> None:
        """Take note of a file."""
        if isinstance(event, FileBegun):
            self._paths.add(event.path)

    def present(self) -> list[Path]:
        """Those that are still there: retention may have deleted some."""
        return sorted(path for path in self._paths.copy() if path.exists())


class PictureSaver:
    """Has cameras write their pictures, and the reports of their nights, in a thread of its own each time, since a
    disk may hang.
    """

    def __init__(self, reports: NightReports) -> None:
        self._reports = reports
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
        pictures = [camera.channel.pictures for camera in cameras if camera.lease.may_write()]

        def work() -> None:
            with self._saving:
                for one in pictures:
                    self._files.update(one.save(final=final))
                self._reports.look(final=final)
            # What loading engines and reports left behind would stay with the allocator for good.
            malloc_trimmer.give_back()

        thread = threading.Thread(target=work, name="save", daemon=True)
        thread.start()
        thread.join(within)
        return not thread.is_alive()
