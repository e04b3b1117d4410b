"""What is kept of one camera's pictures: the background, the snapshot and the pictures for training."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels, on_host
from nightday.engines.video.look import SQUARE

from ..core.backgrounds import UNKNOWN, Backgrounds
from ..core.events import NoticeName
from ..core.fault_log import FaultLog
from ..core.faults import detail_of
from ..core.frame import Frame
from ..core.picture_files import save_png, with_square_pixels
from ..core.stages import BatchItem
from ..scene.background import Background
from ..scene.night_gate import TimeOfDay
from ..scene.training_pictures import TrainingPictures


class CameraPictures:
    """Shown each frame by the worker that has it; ``save`` may be called from another thread.

    Args:
        faults: told what cannot be kept or written.
        background: what the camera sees when nothing passes, if that is kept.
        background_png: where it is shown.
        training: the pictures for training, if any are collected.
        snapshot_png: where the last picture is shown, night left and day right.
    """

    def __init__(
        self,
        *,
        faults: FaultLog,
        background: Background | None = None,
        background_png: Path | None = None,
        training: TrainingPictures | None = None,
        snapshot_png: Path | None = None,
    ) -> None:
        self.background = background
        self.training = training
        self._faults = faults
        self._background_png = background_png
        self._snapshot_png = snapshot_png
        self._last: tuple[Pixels, Pixels, Fraction] | None = None  # as seen, as shown, and the pixels' aspect
        self._saved: tuple[Pixels, Pixels, Fraction] | None = None

    @property
    def keeps_last(self) -> bool:
        """Whether pictures are kept as they were seen and shown, so that neither may be drawn into later."""
        return self._snapshot_png is not None

    def collect(self, frame: Frame, seen: Pixels) -> None:
        """Offer a frame as the camera saw it, (H, W, 3), for training. A failure is told; the frame goes on."""
        if self.training is None:
            return
        try:
            self.training.offer(frame, seen)
            self._faults.end("collect")
        except Exception as error:
            self._faults.begin(
                "collect", "collect_failed", f"a frame cannot be collected: {detail_of(error)}"
            )

    def observe(self, item: BatchItem, time: TimeOfDay) -> None:
        """Show the background what the camera saw, before anything is drawn into it."""
        if self.background is not None:
            seconds = float(item.frame.pts * item.frame.time_base)
            self.background.observe(item.seen, time=time, seconds=seconds)

    @property
    def backgrounds(self) -> Backgrounds:
        """What the camera sees when nothing passes, as far as that is known."""
        return UNKNOWN if self.background is None else self.background.given

    def background_of(self, time: TimeOfDay) -> NDArray[np.uint8] | None:
        """What the camera sees by ``time`` when nothing passes, whether or not it is settled; None before any."""
        if self.background is None:
            return None
        given = self.backgrounds.night if time == "night" else self.backgrounds.day
        return self.background.of(time) if given is None else given

    def keep_last(self, seen: Pixels, shown: Pixels, pixel_aspect: Fraction = SQUARE) -> None:
        """Keep what the next snapshot shows, (H, W, 3) each, and width by height of a pixel."""
        if self.keeps_last:
            self._last = (seen, shown, pixel_aspect)

    def finish(self) -> None:
        """No more pictures will come: have the background take in those it has begun with."""
        if self.background is not None:
            self.background.finish()

    def save(self, *, final: bool = False) -> list[Path]:
        """Write what is new: the snapshot, the background, and the training picture that waits.

        Also the background's checkpoint, now and then and if this is the ``final`` time. What cannot be written is
        told and does not raise.

        Returns:
            The pictures written; for a training picture its folder.
        """
        written = []
        png, background, training = self._snapshot_png, self.background, self.training
        if png is not None and self._write(f"write {png}", self._save_snapshot):
            written.append(png)
        if background is not None:
            png, checkpoint = self._background_png, background.checkpoint_path
            if png is not None and self._write(f"write {png}", background.save):
                written.append(png)
            self._write(f"write {checkpoint}", lambda: background.checkpoint(final=final))
        if training is not None:
            doing = f"collect pictures in {training.folder}"
            if self._write(doing, training.write, notice="collect_failed"):
                written.append(training.folder)
        return written

    def _write(self, doing: str, write: Callable[[], bool], *, notice: NoticeName = "save_failed") -> bool:
        """Whether ``write`` wrote something. Whatever is wrong with one picture, the others are written."""
        try:
            done = write()
        except Exception as error:
            self._faults.begin(doing, notice, f"cannot {doing}: {detail_of(error)}")
            return False
        if done:  # otherwise nothing was tried, and the fault may still be there
            self._faults.end(doing)
        return done

    def _save_snapshot(self) -> bool:
        last = self._last
        if self._snapshot_png is None or last is None or last is self._saved:
            return False
        *pictures, pixel_aspect = last
        side_by_side = np.hstack([on_host(rgb, "snapshot") for rgb in pictures])
        save_png(self._snapshot_png, with_square_pixels(side_by_side, pixel_aspect))
        self._saved = last
        return True
