"""What is said of one camera's background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..core.events import BackgroundChanged, Publish
from ..core.status import LEARNT
from .night_gate import TimeOfDay
from .scene_change import SceneChange
from .two_scales import AGREED, TwoScales

DropCause = SceneChange | Literal["resolution", "model", "translate"]

_DROP_CAUSES: dict[DropCause, str] = {
    "moved": "the camera was moved or zoomed",
    "refocused": "the camera's focus changed, or something covers its lens",
    "resolution": "the camera's pictures have another size",
    "model": "its night was made of translated pictures",
    "translate": "with another `translate`, day and night were not told apart",
}


class BackgroundEvents:
    """Publishes them; how far a scene is learnt is said once.

    Args:
        camera: its name.
        path: its checkpoint.
        publish: must not block.
    """

    def __init__(self, camera: str, path: Path | None, publish: Publish) -> None:
        self._camera = camera
        self._path = path
        self._publish = publish
        self._said: set[tuple[str, TimeOfDay]] = set()

    def restored(self, times: Sequence[str]) -> None:
        """The backgrounds of these times of day were taken up."""
        self._say("restored", f"background of {' and '.join(times)} taken up from {self._path}")

    def refused(self, reason: str) -> None:
        """What the file holds does not fit."""
        self._say("refused", f"background checkpoint {self._path} refused: {reason}; starting afresh", reason)

    def dropped(self, cause: DropCause) -> None:
        """Backgrounds were dropped; what comes is another scene."""
        self._said.clear()
        self._say("dropped", f"background dropped: {_DROP_CAUSES[cause]}", cause)

    def judged(self, time: TimeOfDay, scales: TwoScales) -> None:
        """Say once that a scene is learnt, and once that there are samples enough but they do not agree."""
        if scales.learnt >= LEARNT:
            self._say_once("learnt", time, f"the empty scene by {time} is learnt")
        elif scales.enough >= 1 and scales.agreement is not None and scales.agreement < AGREED:
            differing = 100 * (1 - scales.agreement)
            self._say_once(
                "unsettled",
                time,
                f"the background by {time} holds traces of what moves: its samples differ in {differing:.0f} % of "
                "the picture; more are being collected",
            )

    def _say_once(self, step: Literal["learnt", "unsettled"], time: TimeOfDay, detail: str) -> None:
        if (step, time) not in self._said:
            self._said.add((step, time))
            self._say(step, detail, time)

    def _say(
        self,
        step: Literal["restored", "dropped", "refused", "learnt", "unsettled"],
        detail: str,
        reason: str | None = None,
    ) -> None:
        self._publish(BackgroundChanged(camera=self._camera, step=step, detail=detail, reason=reason))
