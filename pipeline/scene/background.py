"""What a camera sees when nothing passes, by day and by night: medians of its own pictures, kept up to date.

Each time of day has a short median, over the last minute, and, where an engine asks for backgrounds, a lasting one
over hours; see ``two_scales``. They are made of what the camera sees, never of what a generator drew. A camera
without translation has "day" only, made of whatever it sees, and one that is always translated "night" only.

The medians outlive the program: ``checkpoint`` writes them to a file, and ``restore`` reads them. All are dropped
when the scene changes (the camera was moved, its lens was changed, its pictures have another size).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nightday.engines.device_copies import Pixels, on_host

from ..core.backgrounds import UNKNOWN, Backgrounds
from ..core.clock import Clock, SystemClock
from ..core.event_log import to_log
from ..core.events import Publish
from ..core.picture_files import save_png
from .background_checkpoint import Checkpoint
from .background_events import BackgroundEvents
from .background_file import BackgroundRefusedError, SavedBackground
from .night_gate import TIMES_OF_DAY, TimeOfDay
from .scene_change import SceneWatch
from .two_scales import TwoScales

# Seconds between two decisions on what is given out, so that whoever derives something from it does so seldom.
GIVEN_EVERY = 10.0


class Background:
    """Samples one camera's pictures and updates its medians, a little at each frame.

    One thread calls ``observe``; another may call ``save`` and ``checkpoint``, and read the properties.

    Memory: at most 2·``frames`` + 7 pictures, and with the lasting medians 24 more; 0.6 MB for the scene watch, and
    20 kB a sample for the judgement. Time of one core, a sample, with lasting medians of 9 frames: 62 ms at 1080p and
    17 ms at 352×288, spread over 30 to 110 calls of which the first takes longest, 25 ms. Every 6 s that is 1 % of a
    core, and 0.3 %.

    Args:
        camera: its name.
        frames: samples each short median is taken over.
        every: seconds between them.
        path: the PNG that ``save`` writes, if any.
        state: the checkpoint; by default it is beside the PNG, its name ending in ``.state``.
        lasting: whether lasting medians are kept, too.
        source: the camera's address, secrets masked. The checkpoint of another source is refused.
        told_by: what tells day from night: the camera's ``translate``, or "never" where nothing is translated.
        publish: told when the background is restored, dropped, refused or learnt; must not block.
        clock: time between checkpoints.
    """

    def __init__(
        self,
        *,
        camera: str,
        frames: int,
        every: float,
        path: Path | None = None,
        state: Path | None = None,
        lasting: bool = False,
        source: str = "",
        told_by: str = "never",
        publish: Publish = to_log,
        clock: Clock | None = None,
    ) -> None:
        self._told_by = told_by
        self._every = every
        self._path = path
        state = state or (path.with_suffix(".state") if path else None)
        self._checkpoint = Checkpoint(
            state, camera=camera, source=source, told_by=told_by, clock=clock or SystemClock()
        )
        self._events = BackgroundEvents(camera, state, publish)
        # By day nothing is translated, and at dusk the day's own light is the one that is wanted.
        self._scales = {
            time: TwoScales(frames=frames, every=every, lasting=lasting, follows=time == "night")
            for time in TIMES_OF_DAY
        }
        self._watch = SceneWatch()
        self._time: TimeOfDay = "day"
        self._size: tuple[int, ...] | None = None  # of the pictures, seen or restored
        self._restored = False  # whether the size is a checkpoint's and no picture has confirmed it yet
        self._sampled_at: float | None = None
        self._given_at: float | None = None
        self._work: Iterator[None] | None = None  # what is left to do of the last sample
        # What other threads read; they are replaced, never changed.
        self._current = SavedBackground(told_by=told_by)
        self._given = UNKNOWN
        self._saved: NDArray[np.uint8] | None = None  # the picture that was saved last

    @property
    def given(self) -> Backgrounds:
        """What an engine is to be given."""
        return self._given

    @property
    def picture(self) -> NDArray[np.uint8] | None:
        """The scene by day if it is known, else by night, (H, W, 3) uint8 RGB; None before the first sample."""
        day = self._given.day if "day" in self._current.lasting else self.of("day")
        return self.of("night") if day is None else day

    def of(self, time: TimeOfDay) -> NDArray[np.uint8] | None:
        """The short median of ``time``, (H, W, 3) uint8 RGB, or None if there is none."""
        median = self._current.medians.get(time)
        return None if median is None else median.picture

    def learnt(self, time: TimeOfDay) -> float:
        """How far the scene by ``time`` is learnt, 0 to 1. Any thread may ask."""
        return self._scales[time].learnt

    @property
    def nbytes(self) -> int:
        """Bytes of the pictures held."""
        return sum(scales.nbytes for scales in self._scales.values())

    @property
    def checkpoint_path(self) -> Path | None:
        """Where the checkpoint is kept."""
        return self._checkpoint.path

    def observe(self, seen: Pixels, *, time: TimeOfDay, seconds: float) -> None:
        """Show it a frame. Only frames that are sampled are copied to the host.

        Args:
            seen: the frame (H, W, 3) as the camera saw it, before anything is drawn on it.
            time: what it was taken for.
            seconds: the time on the camera's clock, so that a file that is read fast is sampled as often.
        """
        if seen.shape != self._size:
            self._resize(seen.shape)
        if time != self._time:
            self._work = None
            self._scales[self._time].pause()
            self._time, self._given_at = time, None
        due = self._sampled_at is None or not 0 <= seconds - self._sampled_at < self._every
        if due and self._work is None:
            self._sampled_at = seconds
            picture = on_host(seen, "background")
            change = self._watch.look(picture, seconds=seconds)
            if change is not None:
                self._forget()
                self._events.dropped(change)
            self._work = self._take_in(picture, time, seconds)
        if self._work is not None and next(self._work, self) is self:
            self._work = None

    def finish(self) -> None:
        """Add what is left of the last sample, when no more frames come."""
        for _ in self._work or ():
            pass
        self._work = None

    def save(self) -> bool:
        """Write the picture to its path if it is a new one; whether it did. Raises OSError."""
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
            saved, left_out = self._checkpoint.load()
        except BackgroundRefusedError as refused:
            self._events.refused(str(refused))
            return
        if left_out is not None:
            self._events.dropped(left_out)
        if saved is None or not saved.medians:
            return
        for time in TIMES_OF_DAY:
            if time in saved.medians:
                median = saved.medians[time]
                self._scales[time].restore(median, saved.lasting.get(time), saved.agreements.get(time))
                self._size, self._restored = median.picture.shape, True
        self._watch.restore(saved.views)
        self._refresh()
        self._checkpoint.held = self._current
        self._events.restored(list(self._current.medians))

    def _take_in(self, picture: NDArray[np.uint8], time: TimeOfDay, seconds: float) -> Iterator[None]:
        scales = self._scales[time]
        yield from scales.add(picture, seconds)
        self._refresh()
        if scales.lasting is not None:
            self._events.judged(time, scales)
        first = scales.given is None
        if first or self._given_at is None or not 0 <= seconds - self._given_at < GIVEN_EVERY:
            self._given_at = seconds
            yield from scales.choose()
            self._refresh()

    def _resize(self, shape: tuple[int, ...]) -> None:
        before, self._size = self._size, shape
        if before is None:
            return
        self._watch.reset()
        self._forget()
        if self._restored:
            self._events.refused(
                f"its pictures are {before[1]}x{before[0]}, the camera's are {shape[1]}x{shape[0]}"
            )
        else:
            self._events.dropped("resolution")
        self._restored = False

    def _forget(self) -> None:
        self._work = None
        for scales in self._scales.values():
            scales.clear()
        self._refresh()
        self._checkpoint.at_once = True  # so that a restart does not take up the old scene

    def _refresh(self) -> None:
        """Bring what other threads read up to date."""
        self._current = _saved(self._scales, self._watch, self._told_by)
        given = Backgrounds(day=self._scales["day"].given, night=self._scales["night"].given)
        if given.day is not self._given.day or given.night is not self._given.night:
            self._given = given


def _saved(scales: Mapping[TimeOfDay, TwoScales], watch: SceneWatch, told_by: str) -> SavedBackground:
    """What a checkpoint is to hold."""
    saved = {time: each.saved() for time, each in scales.items()}
    agreements = {time: each.agreement for time, each in scales.items()}
    return SavedBackground(
        medians={time: short for time, (short, _) in saved.items() if short is not None},
        lasting={time: lasting for time, (_, lasting) in saved.items() if lasting is not None},
        agreements={time: share for time, share in agreements.items() if share is not None},
        views=watch.references(),
        told_by=told_by,
    )
