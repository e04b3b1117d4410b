"""The picture of a camera's scene without anything that moves, by day and by night: two rolling medians.

The medians are taken over the *day view*, which is the picture shown before marks and boxes are drawn, because masks,
stability and training compare a day picture with them. So both medians look like day, but they differ: the one of
"day" is made of the camera's own pictures, the one of "night" of translated ones, with what the generator makes of
lamps and shadows. A camera that is never translated has "day" only, made of whatever it sees.

The medians outlive the program: ``checkpoint`` writes both to a file, and ``restore`` reads them. Both are dropped
when the scene changes (the camera was moved, its lens was changed, its pictures have another size). The one of
"night" is dropped when another generator translates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels, on_host

from ..core.clock import Clock, SystemClock
from ..core.event_log import to_log
from ..core.events import BackgroundChanged, Publish
from ..core.png import save_png
from .background_file import BackgroundRefusedError, SavedBackground, load_background, save_background
from .night_gate import TIMES_OF_DAY, TimeOfDay
from .rolling_median import RollingMedian
from .scene_change import SceneChange, SceneWatch

DropCause = SceneChange | Literal["resolution", "model"]

# Seconds between checkpoints: what a crash may lose.
CHECKPOINT_EVERY = 300.0

_DROP_CAUSES: dict[DropCause, str] = {
    "moved": "the camera was moved or zoomed",
    "refocused": "the camera's focus changed, or something covers its lens",
    "resolution": "the camera's pictures have another size",
    "model": "another model made its night",
}


class _Checkpoint:
    """The file that keeps one camera's background: when it is to be written, and what it holds.

    Args:
        path: the file; None for none.
        camera: the camera's name.
        source: its address, secrets masked.
        clock: time.
    """

    def __init__(self, path: Path | None, *, camera: str, source: str, clock: Clock) -> None:
        self.path = path
        self.at_once = False
        """Whether the next change is to be written without delay."""
        self.held: SavedBackground | None = None
        """What the file holds, as far as this program has read or written it."""
        self._camera = camera
        self._source = source
        self._clock = clock
        self._written_at: float | None = None

    def load(self) -> SavedBackground | None:
        """What the file holds; None without a file. Raises BackgroundRefusedError."""
        if self.path is None:
            return None
        saved = load_background(self.path, camera=self._camera, source=self._source)
        if saved is not None and len({picture.shape for picture, _ in saved.medians.values()}) > 1:
            raise BackgroundRefusedError("its pictures differ in size")
        return saved

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


class Background:
    """Samples one camera's day view and updates its medians, a little at each frame.

    One thread calls ``observe``; another may call ``save``, ``checkpoint`` and ``use_model``, and read the
    properties.

    It takes the memory of at most 2·``frames`` + 5 pictures, and 0.6 MB for the scene watch.

    Args:
        camera: its name.
        frames: samples each median is taken over.
        every: seconds between them.
        path: the PNG that ``save`` writes. The checkpoint is beside it, its name ending in ``.state``.
        source: the camera's address, secrets masked. The checkpoint of another source is refused.
        model: the generator's fingerprint, "" if nothing is translated. The night of another generator is dropped.
        publish: told when the background is restored, dropped or refused; must not block.
        clock: time between checkpoints.
    """

    def __init__(
        self,
        *,
        camera: str,
        frames: int,
        every: float,
        path: Path | None = None,
        source: str = "",
        model: str = "",
        publish: Publish = to_log,
        clock: Clock | None = None,
    ) -> None:
        self._camera = camera
        self._model = self._next_model = model
        self._every = every
        self._path = path
        self._publish = publish
        state = path.with_suffix(".state") if path else None
        self._checkpoint = _Checkpoint(state, camera=camera, source=source, clock=clock or SystemClock())
        self._medians = {time: RollingMedian(frames=frames) for time in TIMES_OF_DAY}
        self._watch = SceneWatch()
        self._time: TimeOfDay = "day"
        self._size: tuple[int, ...] | None = None  # of the pictures, seen or restored
        self._restored = False  # whether the size is a checkpoint's and no picture has confirmed it yet
        self._sampled_at: float | None = None
        self._current = SavedBackground()  # what other threads read; it is replaced, never changed
        self._saved: NDArray[np.uint8] | None = None  # the picture that was saved last

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The median in use (H, W, 3) uint8 RGB, else the other one, or None before the first sample."""
        day, night = self.of("day"), self.of("night")
        return (night if day is None else day) if self._time == "day" else (day if night is None else night)

    def of(self, time: TimeOfDay) -> NDArray[np.uint8] | None:
        """The median of ``time``, (H, W, 3) uint8 RGB, or None if there is none."""
        median = self._current.medians.get(time)
        return None if median is None else median[0]

    @property
    def model(self) -> str:
        """The fingerprint of the generator that translates."""
        return self._next_model

    @property
    def nbytes(self) -> int:
        """Bytes of the pictures held."""
        return sum(median.nbytes for median in self._medians.values())

    @property
    def checkpoint_path(self) -> Path | None:
        """Where the checkpoint is kept."""
        return self._checkpoint.path

    def observe(self, view: Pixels, *, seen: Pixels, translated: bool, seconds: float) -> None:
        """Show it a frame. Only frames that are sampled are copied to the host.

        Args:
            view: the day view (H, W, 3), before anything is drawn on it.
            seen: the same frame as the camera saw it. It shows whether the camera was moved; the generator draws the
                scene it knows, whatever it is given.
            translated: whether the generator made ``view``.
            seconds: the time on the camera's clock, so that a file that is read fast is sampled as often.
        """
        if self._model != (model := self._next_model):
            self._model = model
            self._drop_night()
        if view.shape != self._size:
            self._resize(view.shape)
        time: TimeOfDay = "night" if translated else "day"
        if time != self._time:
            self._medians[self._time].compact()
            self._time = time
        median = self._medians[time]
        due = self._sampled_at is None or seconds - self._sampled_at >= self._every
        if due and median.ready:
            self._sampled_at = seconds
            change = self._watch.look(on_host(seen, "background"), seconds=seconds)
            if change is not None:
                self._forget()
                self._publish_dropped(change)
            median.push(on_host(view, "background"))
        if not median.ready:
            median.advance()
            if median.ready:
                self._update_current()

    def use_model(self, model: str) -> None:
        """The generator with this fingerprint translates from now on; another one drops the median of "night"."""
        self._next_model = model

    def finish(self) -> None:
        """Add what is left of the last sample, when no more frames come."""
        median = self._medians[self._time]
        if not median.ready:
            median.finish()
            self._update_current()

    def save(self) -> bool:
        """Write the picture in use to its path if it is a new one; whether it did. Raises OSError."""
        picture = self.picture
        if self._path is None or picture is None or picture is self._saved:
            return False
        save_png(self._path, picture)
        self._saved = picture
        return True

    def checkpoint(self, *, final: bool = False) -> bool:
        """Write the checkpoint if something has changed and the last one is old; whether it did. Raises OSError.

        With ``final`` a change is written whatever the age of the last checkpoint.
        """
        return self._checkpoint.write(self._current, final=final)

    def restore(self) -> None:
        """Begin with the checkpoint, if there is one that can be used. To be called before any frame."""
        try:
            found = self._checkpoint.load()
        except BackgroundRefusedError as refused:
            self._refuse(str(refused))
            return
        if found is None:
            return
        saved = _without_other_models(found, self._model)
        if len(saved.medians) < len(found.medians):
            self._publish_dropped("model")
        if not saved.medians:
            return
        for time in TIMES_OF_DAY:
            if time in saved.medians:
                picture, count = saved.medians[time]
                self._medians[time].seed(picture, count=count)
                self._size, self._restored = picture.shape, True
        self._watch.restore(saved.views)
        self._update_current()
        self._checkpoint.held = self._current
        times = " and ".join(self._current.medians)
        detail = f"background of {times} taken up from {self.checkpoint_path}"
        self._publish(BackgroundChanged(camera=self._camera, step="restored", detail=detail))

    def _resize(self, shape: tuple[int, ...]) -> None:
        before, self._size = self._size, shape
        if before is None:
            return
        self._watch.reset()
        self._forget()
        if self._restored:
            self._refuse(f"its pictures are {before[1]}x{before[0]}, the camera's are {shape[1]}x{shape[0]}")
        else:
            self._publish_dropped("resolution")
        self._restored = False

    def _drop_night(self) -> None:
        night = self._medians["night"]
        if night.picture is not None:
            self._publish_dropped("model")
        night.clear()
        self._update_current()
        self._checkpoint.at_once = True

    def _forget(self) -> None:
        for median in self._medians.values():
            median.clear()
        self._update_current()
        self._checkpoint.at_once = True  # so that a restart does not take up the old scene

    def _refuse(self, reason: str) -> None:
        detail = f"background checkpoint {self.checkpoint_path} refused: {reason}; starting afresh"
        self._publish(BackgroundChanged(camera=self._camera, step="refused", detail=detail, reason=reason))

    def _publish_dropped(self, cause: DropCause) -> None:
        detail = f"background dropped: {_DROP_CAUSES[cause]}"
        self._publish(BackgroundChanged(camera=self._camera, step="dropped", detail=detail, reason=cause))

    def _update_current(self) -> None:
        medians: dict[str, tuple[NDArray[np.uint8], int]] = {}
        for time, median in self._medians.items():
            if median.picture is not None:
                medians[time] = (median.picture, median.count)
        views = self._watch.references()
        self._current = SavedBackground(medians=medians, views=views, model=self._model)


def _without_other_models(saved: SavedBackground, model: str) -> SavedBackground:
    """``saved`` without what another generator than ``model`` made.

    Where nothing was translated, nights were taken for day. If the camera is translated now, that is left out, too.
    """
    if saved.model == model or not saved.medians:
        return saved
    medians = {time: median for time, median in saved.medians.items() if saved.model and time != "night"}
    return SavedBackground(medians=medians, views=saved.views, model=model)
