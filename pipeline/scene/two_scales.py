"""One camera's background by one time of day, on two time scales: the last minute, and hours.

The short median follows rain, exposure and changing light. The lasting one is made of short ones that lie far apart,
so it keeps out a queue that stands for an hour, or a car that parks for an evening.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .agreement import Agreement
from .background_file import SavedMedian
from .lasting_median import KEPT, LastingMedian
from .relight import Gain, light_of, relight, same_light
from .rolling_median import RollingMedian

# Pictures below which a median is not given out.
FEWEST = 3
# Share of the picture in which samples have to agree for a background to be relied on, and that at which it is worth
# nothing. Nine samples of ten seconds of London's traffic agree in 0.78 to 0.96, minutes apart in 0.91 to 0.98.
AGREED, WORTHLESS = 0.96, 0.7


class TwoScales:
    """The medians of one time of day, and how far they can be relied on.

    One thread changes it. Memory: at most 2·``frames`` + 4 pictures for the short median while pictures come, one
    else; at most 11 for the lasting one; and one that is given out.

    Args:
        frames: samples that the short median is taken over.
        every: seconds between them.
        lasting: whether the lasting median is kept, and the samples are judged.
        follows: whether what is given out follows the light of the short median.
    """

    def __init__(self, *, frames: int, every: float, lasting: bool, follows: bool) -> None:
        self.short = RollingMedian(frames=frames)
        self.lasting = LastingMedian(first=frames * every) if lasting else None
        self._follows = follows
        self._agreements = Agreement(views=frames), Agreement(views=KEPT)
        self._samples = 0  # since the short median was last begun or taken up again
        self._restored_agreement: float | None = None
        self._given: NDArray[np.uint8] | None = None
        # The median that it was made of, and the light that this was brought into.
        self._made_of: tuple[NDArray[np.uint8] | None, Gain | None] = (None, None)

    @property
    def given(self) -> NDArray[np.uint8] | None:
        """The background to be used, (H, W, 3) uint8, read-only; None before there are ``FEWEST`` samples."""
        return self._given

    @property
    def agreement(self) -> float | None:
        """The share of the picture in which the samples agree, 0 to 1, on the scale that agrees more; None: unknown.

        By day shadows wander, which hours show and a minute does not; a minute of dense traffic differs where hours
        agree.
        """
        known = [one.share for one in self._agreements if one.share is not None]
        return max(known) if known else self._restored_agreement

    @property
    def enough(self) -> float:
        """How many of the samples are there that the background wants before it is relied on, 0 to 1."""
        if self.lasting is not None and self.lasting.count >= FEWEST:
            return 1.0
        return min(self.short.count / self.short.frames, 1.0)

    @property
    def learnt(self) -> float:
        """How far the scene is learnt, 0 to 1: whether there are samples enough, and how far they agree."""
        agreement = self.agreement
        doubt = 0.0 if agreement is None else (AGREED - agreement) / (AGREED - WORTHLESS)
        return self.enough * (1 - min(max(doubt, 0.0), 1.0))

    @property
    def nbytes(self) -> int:
        """Bytes of the pictures held."""
        arrays = [] if self.lasting is None else self.lasting.arrays
        others = {id(array): array for array in arrays if array is not self.short.picture}
        if self._given is not None and self._given is not self.short.picture:
            others[id(self._given)] = self._given
        return self.short.nbytes + sum(array.nbytes for array in others.values())

    def clear(self) -> None:
        """Forget everything."""
        self.short.clear()
        if self.lasting is not None:
            self.lasting.clear()
        for agreement in self._agreements:
            agreement.clear()
        self._samples, self._restored_agreement = 0, None
        self._given, self._made_of = None, (None, None)

    def pause(self) -> None:
        """No pictures will come for a while: keep no more than the medians."""
        self.short.compact()
        self._samples = 0

    def saved(self) -> tuple[SavedMedian | None, SavedMedian | None]:
        """The short and the lasting median, as a checkpoint holds them."""
        short, lasting = self.short, self.lasting
        return (
            None if short.picture is None else SavedMedian(short.picture, short.count),
            None
            if lasting is None or lasting.picture is None
            else SavedMedian(lasting.picture, lasting.count, lasting.spacing),
        )

    def restore(self, saved: SavedMedian, lasting: SavedMedian | None, agreement: float | None) -> None:
        """Begin with what was saved."""
        self.short.seed(saved.picture, count=saved.count)
        if self.lasting is not None and lasting is not None:
            self.lasting.seed(lasting.picture, count=lasting.count, spacing=lasting.spacing)
        self._restored_agreement = agreement
        for _ in self.choose():
            pass

    def add(self, rgb: NDArray[np.uint8], seconds: float) -> Iterator[None]:
        """Take in a sample (H, W, 3), a little at a step."""
        self.short.push(rgb)
        if self.lasting is not None:  # else nobody asks
            self._agreements[0].add(rgb)
        self._samples += 1
        self.short.advance()
        while not self.short.ready:
            yield
            self.short.advance()
        lasting, recent = self.lasting, self.short.picture
        if (
            lasting is not None
            and recent is not None
            and self._samples >= self.short.frames
            and lasting.due(seconds)
        ):
            yield
            yield from lasting.add(recent, seconds)
            self._agreements[1].add(recent)

    def choose(self) -> Iterator[None]:
        """Decide what is given out, a little at a step: the lasting median, in the light of the short one.

        The lasting median knows what belongs to the scene; the short one knows the light. While there is no lasting
        one, the short one is given. What would hardly change stays the same array.
        """
        base, recent, light = self._base(), self.short.picture, None
        if base is None:
            self._given, self._made_of = None, (None, None)
            return
        lasts = self.lasting is not None and base is self.lasting.picture
        if self._follows and lasts and recent is not None and self._samples >= FEWEST:
            light = light_of(recent, base)
            light = None if same_light(light, None) else light
        if base is self._made_of[0] and same_light(light, self._made_of[1]):
            return
        given = base
        if light is not None:
            given = np.empty_like(base)
            for _ in relight(base, light, given):
                yield
            given.flags.writeable = False
        self._given, self._made_of = given, (base, light)

    def _base(self) -> NDArray[np.uint8] | None:
        if self.lasting is not None and self.lasting.count >= FEWEST:
            return self.lasting.picture
        return self.short.picture if self.short.count >= FEWEST else None
