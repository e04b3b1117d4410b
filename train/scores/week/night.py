"""One night examined: what is in its evidence, how much of that the day view shows, what a detector finds on both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from nightday.engines.detection.detections import Detection
from nightday.engines.errors import NightdayError

from ...footage.even_sample import Progress
from ...footage.evidence import LEAST_NIGHTS, relit_paste, things
from ...footage.scene import Image, spread, temporal_median
from ..baselines import EMPTY_SCENE, RELIT_PASTE, gamma, gamma_to
from ..detection_scores import mostly_in
from ..image_distances import Mask
from ..scorer import Box, keep_mask
from ..things import Thing, nights_shown
from .footage import Moment, Night, readable
from .objects import Count, Found, count, found_again, is_evident, objects_of

# Pictures that n_ref is the median of.
BACKGROUND_PICTURES = 61
# Moments shown: those with most evidence, and those at which most is found that is not in it.
MOST_EVIDENCE, MOST_DOUBT = 3, 2
# The two answers that are compared.
NIGHT, DAY = "the night", "the day view"

Detector = Callable[[Image], Sequence[Detection]]
"""What finds objects on uint8 RGB (H, W, 3), the most certain first."""
Translate = Callable[[Image, Image, Image], Image]
"""A model: night, x_ref and n_ref to the day view."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the detector finds on one kind of picture over the night.

    Attributes:
        method: the kind.
        count: of the objects.
        missed: objects that it finds on the night and at none of their moments on these pictures.
    """

    method: str
    count: Count
    missed: int


@dataclass(frozen=True, slots=True)
class Shot:
    """A moment as the page shows it.

    Attributes:
        moment: it.
        why: why this one is shown.
        night, day: the pictures, uint8 RGB (H, W, 3).
        on_night, on_day: what was found on them; ``by_night`` tells of both whether it is on the other, too.
    """

    moment: Moment
    why: str
    night: Image
    day: Image
    on_night: list[Found]
    on_day: list[Found]


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of a night.

    Attributes:
        night: it.
        moments: how many of its moments were looked at.
        things: what is in the evidence at these moments, each counted at every moment, and whether it is shown.
        x_ref: what the day background is.
        answers: of the detector: on the night, on the day view, and on what costs nothing; none without one.
        shots: moments to be shown.
    """

    night: Night
    moments: int
    things: list[Thing]
    x_ref: str
    answers: list[Answer]
    shots: list[Shot]


@dataclass(frozen=True, slots=True)
class _Seen:
    moment: Moment
    share: float
    found: dict[str, list[Found]]

    @property
    def boxes(self) -> tuple[list[Found], list[Found]]:
        """What was found on the night and on the day view; ``by_night`` tells of both whether it is on the other."""
        on_night, on_day = self.found.get(NIGHT, []), self.found.get(DAY, [])
        return _again(on_night, on_day), on_day

    @property
    def doubtful(self) -> int:
        """How much the detector finds on the day view that is neither in the evidence nor found on the night."""
        return sum(not (one.evident or one.by_night) for one in self.found.get(DAY, []))


def examine(
    night: Night,
    *,
    x_ref: Image | None,
    translate: Translate | None,
    detector: Detector | None,
    labels: Sequence[Box],
    left_out: list[str],
    progress: Progress = lambda _done, _of: None,
) -> Examined | None:
    """Examine a night. Memory holds the pictures of n_ref at most, however many moments there are.

    Args:
        night: it.
        x_ref: the camera's background by day; None where there is none, then that of the day views.
        translate: makes the day view where it was not recorded.
        detector: finds objects.
        labels: boxes of burned-in labels; nothing counts there.
        left_out: gets a line for each moment that cannot be read.
        progress: told how many moments have been passed.

    Returns:
        None where too few moments can be read.

    Raises:
        NightdayError: there is neither a day picture nor a recorded day view.
    """
    views = _Views(night, x_ref, translate, left_out)
    if not views.enough:
        left_out.append(
            f"{night.title}: fewer than {LEAST_NIGHTS} of its moments can be read; it is left out"
        )
        return None
    keep = keep_mask(views.n_ref.shape, labels)
    seen: list[_Seen] = []
    sought: list[Thing] = []
    empty = [] if detector is None else detector(views.x_ref)
    for number, (moment, dark, day) in enumerate(views.moments(night.moments)):
        progress(number, len(night.moments))
        mask = things(dark, views.n_ref) & keep
        told = nights_shown([dark], [day], x_ref=views.x_ref, n_ref=views.n_ref, keep=keep)
        sought += [replace(thing, picture=number) for thing in told.things]
        found: dict[str, list[Found]] = {}
        if detector is not None:
            pictures = {NIGHT: dark, DAY: day, **views.cheap(dark)}
            given = {name: detector(picture) for name, picture in pictures.items()}
            found = _found({**given, EMPTY_SCENE: empty}, mask, keep)
        seen.append(_Seen(moment, float(mask.mean()), found))
    return Examined(
        night=night,
        moments=len(seen),
        things=sought,
        x_ref=views.x_ref_is,
        answers=_answers(seen) if detector is not None else [],
        shots=[
            Shot(one.moment, why, dark, day, *one.boxes)
            for one, why in _shown(seen)
            for _, dark, day in views.moments([one.moment])
        ],
    )


class _Views:
    """The night's backgrounds, and both views of its moments."""

    def __init__(
        self, night: Night, x_ref: Image | None, translate: Translate | None, left_out: list[str]
    ) -> None:
        self._left_out = left_out
        self._translate = None if night.recorded else translate
        some = list(readable(spread(night.moments, BACKGROUND_PICTURES), left_out))
        self.enough = len(some) >= LEAST_NIGHTS
        if not self.enough:
            return
        self.n_ref = temporal_median([dark for _, dark, _ in some])
        self.x_ref_is = "the median of the camera's day"
        if x_ref is None:
            days = [day for _, _, day in some if day is not None]
            if not days:
                raise NightdayError(
                    f"{some[0][0].path.parent}: the day view cannot be made without a day picture; "
                    "give day/ or background.png beside night/"
                )
            x_ref = temporal_median(days)
            self.x_ref_is = "the median of the day views themselves, since there is no day picture"
        height, width = self.n_ref.shape[:2]
        if x_ref.shape != self.n_ref.shape:
            x_ref = np.asarray(cv2.resize(x_ref, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        self.x_ref = x_ref
        self._exponent = gamma_to([dark for _, dark, _ in some], [x_ref])

    def moments(self, moments: Sequence[Moment]) -> Iterator[tuple[Moment, Image, Image]]:
        """The moments that can be read, with night and day view."""
        for moment, dark, day in readable(moments, self._left_out):
            if dark.shape != self.n_ref.shape:
                continue
            if self._translate is not None:
                yield moment, dark, self._translate(dark, self.x_ref, self.n_ref)
            elif day is not None:
                yield moment, dark, day

    def cheap(self, dark: Image) -> dict[str, Image]:
        """The pictures that cost nothing: the night brightened to the day's mean, the relit paste."""
        return {
            f"{NIGHT}, brightened (gamma {self._exponent:g})": gamma(dark, self._exponent),
            RELIT_PASTE: relit_paste(dark, self.x_ref, self.n_ref),
        }


def _found(given: dict[str, Sequence[Detection]], mask: Mask, keep: Mask) -> dict[str, list[Found]]:
    """What was found on each kind of picture of one moment, held against the night's evidence, ``mask``."""
    counted = {name: [one for one in found if not mostly_in(~keep, one.box)] for name, found in given.items()}
    by_night = [one.box for one in counted[NIGHT]]
    return {
        name: [
            Found(one.box, one.label, is_evident(one.box, mask), again)
            for one, again in zip(found, found_again([one.box for one in found], by_night), strict=True)
        ]
        for name, found in counted.items()
    }


def _answers(seen: Sequence[_Seen]) -> list[Answer]:
    """The detector's answers, of the day view first after the night."""
    names = list(seen[0].found)
    answers = []
    for name in names:
        kept = [_again(each.found[NIGHT], each.found[name]) for each in seen]
        missed = sum(one.by_night == 0 for one in objects_of(kept))
        answers.append(Answer(name, count(objects_of([each.found[name] for each in seen])), missed))
    return answers


def _again(found: Sequence[Found], others: Sequence[Found]) -> list[Found]:
    """What was found on the night, with ``by_night`` telling whether it is among ``others``, too."""
    again = found_again([one.box for one in found], [one.box for one in others])
    return [replace(one, by_night=there) for one, there in zip(found, again, strict=True)]


def _shown(seen: Sequence[_Seen]) -> list[tuple[_Seen, str]]:
    """The moments to be shown and why: the most evidence, the most doubt, and the usual one."""
    busy = sorted(seen, key=lambda one: -one.share)
    chosen = [(one, "most is in the night's evidence") for one in busy[:MOST_EVIDENCE] if one.share > 0]
    doubtful = sorted((one for one in seen if one.doubtful), key=lambda one: -one.doubtful)
    chosen += [
        (one, "most is found on the day view that the night does not bear out")
        for one in doubtful[:MOST_DOUBT]
    ]
    chosen.append((busy[len(busy) // 2], "the usual moment: as much evidence as at half of them"))
    first: dict[Moment, tuple[_Seen, str]] = {}
    for one, why in chosen:
        first.setdefault(one.moment, (one, why))
    return list(first.values())
