"""When a camera's background is written to its file, and what of the file a restart can use."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..core.clock import Clock
from .background_file import BackgroundRefusedError, SavedBackground, load_background, save_background

# Seconds between checkpoints: what a crash may lose.
CHECKPOINT_EVERY = 300.0


class Checkpoint:
    """The file that keeps one camera's background: when it is to be written, and what it holds.

    Args:
        path: the file; None for none.
        camera: the camera's name.
        source: its address, secrets masked. The file of another source is refused.
        told_by: what tells day from night now.
        clock: time.
    """

    def __init__(self, path: Path | None, *, camera: str, source: str, told_by: str, clock: Clock) -> None:
        self.path = path
        self.at_once = False
        """Whether the next change is to be written without delay."""
        self.held: SavedBackground | None = None
        """What the file holds, as far as this program has read or written it."""
        self._camera = camera
        self._source = source
        self._told_by = told_by
        self._clock = clock
        self._written_at: float | None = None

    def load(self) -> tuple[SavedBackground | None, Literal["model", "translate"] | None]:
        """What of the file can be used, None without a file, and why some of it cannot be.

        Where night was not told from day, pictures of both may be in either median. Raises BackgroundRefusedError.
        """
        if self.path is None:
            return None, None
        saved = load_background(self.path, camera=self._camera, source=self._source)
        medians = [] if saved is None else [*saved.medians.values(), *saved.lasting.values()]
        if len({median.picture.shape for median in medians}) > 1:
            raise BackgroundRefusedError("its pictures differ in size")
        if saved is None or saved.told_by in ("night", self._told_by):
            return saved, "model" if saved is not None and saved.left_out else None
        return SavedBackground(views=saved.views), "translate" if saved.medians else None

    def write(self, current: SavedBackground, *, final: bool) -> bool:
        """Write ``current`` if it is due; whether it was. Raises OSError."""
        if self.path is None or current is self.held or not (current.medians or self.held):
            return False
        now = self._clock.monotonic()
        old = self._written_at is None or now - self._written_at >= CHECKPOINT_EVERY
        if not (final or self.at_once or old):
            return False
        self.at_once = False
        self._written_at = now  # also if it fails, so that a full disk is not tried every time
        save_background(self.path, current, camera=self._camera, source=self._source)
        self.held = current
        return True
