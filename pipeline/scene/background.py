"""The picture of a camera's scene with nothing moving in it, by day and by night: two rolling medians.

The medians are taken over the *day view*, that is, over the pictures shown before marks and boxes are drawn,
because that is what masks, stability and the next training compare a day picture with. Both lie in the day domain,
yet they differ: "day" is made of the camera's own pictures, "night" of translated ones, with what the generator
makes of lamps and shadows. A camera that is never translated has "day" only, of whatever it sees.

They live longer than the program: ``checkpoint`` writes both to a file, ``restore`` begins with them. They end
with the scene: a moved camera or another lens setting (``scene_change``) or another size of picture
drops both. What one generator made of the night ends with that generator.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels, on_host

from ..core.clock import Clock, SystemClock
from ..core.png import save_png
from .background_file import (
    BackgroundRefusedError,
    Kept,
    load_background,
    save_background,
)
from .rolling_median import RollingMedian
from .scene_change import SceneChange, SceneWatch

log = logging.getLogger(__name__)

State = Literal["day", "night"]
DropCause = SceneChange | Literal["resolution", "model"]

STATES: tuple[State, ...] = ("day", "night")
CHECKPOINT_EVERY = 300.0  # seconds; what a crash may lose is as little as that changes


class Background:
    """Samples one camera's day view and keeps its medians, a little at each frame.

    One thread calls ``observe``; another may call ``save``, ``checkpoint`` and ``use_model``, and read the
    properties.

    Memory: at most 2·``frames`` + 5 pictures, of which the median not in use is one; of one nobody has sampled
    nothing. And 0.6 MB of the scene watch's.

    Args:
        camera: its name.
        frames: samples each median is taken over.
        every: seconds between them.
        path: the PNG ``save`` writes; the checkpoint stands beside it, its name ending in ``.state``.
        source: the camera's address with the secrets masked; a checkpoint of another one is refused.
        model: the generator's fingerprint, "" if nothing is translated; the night of another one is dropped.
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
        clock: Clock | None = None,
    ) -> None:
        self._camera = camera
        self._source = source
        self._model = self._next_model = model
        self._every = every
        self._path = path
        self._clock = clock or SystemClock()
        self._medians: dict[State, RollingMedian] = {state: RollingMedian(frames=frames) for state in STATES}
        self._watch = SceneWatch()
        self._state: State = "day"
        self._size: tuple[int, ...] | None = None  # of the pictures, known or restored
        self._restored = False  # from a checkpoint whose size no picture has confirmed yet
        self._last: float | None = None
        self._kept = Kept()  # replaced, never changed: what other threads read
        self._saved: NDArray[np.uint8] | None = None
        self._checkpointed: Kept | None = None
        self._checkpointed_at: float | None = None
        self._hurry = False  # the next checkpoint is due at once

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The median in use (H, W, 3) uint8 RGB, else the other one, or None before the first sample."""
        day, night = self.of("day"), self.of("night")
        return (night if day is None else day) if self._state == "day" else (day if night is None else night)

    def of(self, state: State) -> NDArray[np.uint8] | None:
        """The median of ``state``, (H, W, 3) uint8 RGB, or None if there is none."""
        held = self._kept.medians.get(state)
        return None if held is None else held[0]

    @property
    def model(self) -> str:
        """The fingerprint of the generator that translates."""
        return self._next_model

    @property
    def nbytes(self) -> int:
        """Memory of the pictures held."""
        return sum(median.nbytes for median in self._medians.values())

    @property
    def checkpoint_path(self) -> Path | None:
        """Where the checkpoint is kept."""
        return self._path.with_suffix(".state") if self._path else None

    def observe(self, view: Pixels, *, seen: Pixels, translated: bool, seconds: float) -> None:
        """Show it a frame. Only those that are sampled are brought to the host.

        Args:
            view: the day view (H, W, 3), before anything is drawn on it.
            seen: the same frame as the camera saw it, which is what tells whether the camera was moved: the
                generator draws the scene it knows, whatever it is given.
            translated: whether the generator made ``view``.
            seconds: the time by the camera's clock, so that a fast file counts alike.
        """
        if self._model != (model := self._next_model):
            self._model = model
            self._drop_night()
        if view.shape != self._size:
            self._resize(view.shape)
        state: State = "night" if translated else "day"
        if state != self._state:
            self._medians[self._state].rest()
            self._state = state
        median = self._medians[state]
        due = self._last is None or seconds - self._last >= self._every
        if due and median.settled:
            self._last = seconds
            change = self._watch.look(on_host(seen, "background"), seconds=seconds)
            if change is not None:
                self._drop(change)
            median.push(on_host(view, "background"))
        if not median.settled:
            median.advance()
            if median.settled:
                self._publish()

    def use_model(self, model: str) -> None:
        """Another generator translates from now on, the one with this fingerprint.

        With the next frame, what the one before made of the night is dropped.
        """
        self._next_model = model

    def settle(self) -> None:
        """Work in what is left of the last sample, when no more frames come."""
        if not self._medians[self._state].settled:
            self._medians[self._state].settle()
            self._publish()

    def save(self) -> bool:
        """Write the picture in use to its path if there is a new one; True if it did. Raises OSError."""
        picture = self.picture
        if self._path is None or picture is None or picture is self._saved:
            return False
        save_png(self._path, picture)
        self._saved = picture
        return True

    def checkpoint(self, *, final: bool = False) -> bool:
        """Write the checkpoint if there is news and the last one is old; True if it did. Raises OSError.

        ``final`` writes news whatever the age of the last one.
        """
        kept, path = self._kept, self.checkpoint_path
        now = self._clock.monotonic()
        if path is None or kept is self._checkpointed or not (kept.medians or self._checkpointed):
            return False
        last = self._checkpointed_at
        if not (final or self._hurry or last is None or now - last >= CHECKPOINT_EVERY):
            return False
        self._hurry = False
        self._checkpointed_at = now  # also of one that failed: a full disk is not tried every time
        save_background(path, kept, camera=self._camera, source=self._source)
        self._checkpointed = kept
        return True

    def restore(self) -> None:
        """Begin with the checkpoint, if there is one; a refused one is logged and left out. Before any frame."""
        path = self.checkpoint_path
        if path is None:
            return
        try:
            kept = load_background(path, camera=self._camera, source=self._source)
            kept = self._of_this_model(kept) if kept else None
            sizes = {picture.shape for picture, _ in kept.medians.values()} if kept else set()
            if len(sizes) > 1:
                raise BackgroundRefusedError("its pictures differ in size")
        except BackgroundRefusedError as refused:
            self._refuse(str(refused))
            return
        if not kept or not sizes:
            return
        for state in STATES:
            if state in kept.medians:
                picture, count = kept.medians[state]
                self._medians[state].seed(picture, count=count)
        self._watch.restore(kept.views)
        self._size, self._restored = sizes.pop(), True
        self._publish()
        self._checkpointed = self._kept
        log.info(
            "%s: background of %s taken up from %s", self._camera, " and ".join(self._kept.medians), path,
            extra={"event": "background_restored", "camera": self._camera},
        )  # fmt: skip

    def _resize(self, shape: tuple[int, ...]) -> None:
        before, self._size = self._size, shape
        if before is not None and self._restored:
            self._forget()
            self._watch.forget()
            self._refuse(f"its pictures are {before[1]}x{before[0]}, the camera's are {shape[1]}x{shape[0]}")
        elif before is not None:
            self._watch.forget()
            self._drop("resolution")
        self._restored = False

    def _drop(self, cause: DropCause) -> None:
        self._forget()
        self._say_dropped(cause)

    def _drop_night(self) -> None:
        night = self._medians["night"]
        if night.picture is not None:
            self._say_dropped("model")
        night.clear()
        self._publish()
        self._hurry = True

    def _say_dropped(self, cause: DropCause) -> None:
        log.warning(
            "%s: background dropped: %s", self._camera, _CAUSES[cause],
            extra={"event": "background_dropped", "camera": self._camera, "reason": cause},
        )  # fmt: skip

    def _forget(self) -> None:
        for median in self._medians.values():
            median.clear()
        self._publish()
        self._hurry = True  # lest a restart takes up the old scene

    def _refuse(self, reason: str) -> None:
        log.warning(
            "%s: background checkpoint %s refused: %s; starting afresh",
            self._camera, self.checkpoint_path, reason,
            extra={"event": "background_refused", "camera": self._camera, "reason": reason},
        )  # fmt: skip

    def _publish(self) -> None:
        medians: dict[str, tuple[NDArray[np.uint8], int]] = {}
        for state, median in self._medians.items():
            if median.picture is not None:
                medians[state] = (median.picture, median.count)
        self._kept = Kept(medians=medians, views=self._watch.kept(), model=self._model)

    def _of_this_model(self, kept: Kept) -> Kept:
        """``kept`` without what another generator made, and without a "day" of whatever the camera saw."""
        if kept.model == self._model or not kept.medians:
            return kept
        # Where nothing was translated, nights count as day.
        stays = {state: held for state, held in kept.medians.items() if kept.model and state != "night"}
        if len(stays) < len(kept.medians):
            self._say_dropped("model")
        return Kept(medians=stays, views=kept.views, model=self._model)


_CAUSES: dict[DropCause, str] = {
    "moved": "the camera was moved or zoomed",
    "refocused": "the camera's focus changed, or something covers its lens",
    "resolution": "the camera's pictures have another size",
    "model": "another model made its night",
}
