"""Notices that Ray's head is gone, without which Ray ends every process of the cluster after a minute."""

from __future__ import annotations

from ..core.events import Notice, Publish

# Seconds without the head's answer after which that is told, and after which all is ended in good order, before Ray
# does so without a word: after 60 s, see "A cluster" in benchmarks/NOTES.md.
TELL_AFTER, END_AFTER = 10.0, 45.0
# Seconds that one turn counts for at the most: while this process stood still, it asked nothing.
LONGEST_TURN = 1.0

GONE = (
    "Ray's head does not answer, and Ray ends all that runs without a head for a minute; start it again "
    "(`ray start --head`), join the machines anew, and start nightday-stream"
)


class HeadWatch:
    """For one thread.

    Args:
        publish: told when the head is gone, and when it is back.
        now: monotonic seconds.
    """

    def __init__(self, publish: Publish, now: float) -> None:
        self._publish = publish
        self._at = now
        self._looks = 0
        self._silent = 0.0
        self._told = False

    @property
    def up(self) -> bool:
        """Whether the head answers, as far as that was told."""
        return not self._told

    @property
    def over(self) -> bool:
        """Whether it is time to end."""
        return self._silent >= END_AFTER

    def look(self, looks: int, now: float) -> None:
        """The head has told ``looks`` times which nodes there are; now it is ``now``."""
        if looks != self._looks:
            self._looks, self._silent = looks, 0.0
        else:
            self._silent += min(max(0.0, now - self._at), LONGEST_TURN)
        self._at = now
        if self._told != (self._silent >= TELL_AFTER):
            self._told = not self._told
            if self._told:
                detail = f"{GONE}. Cameras go on until then"
                self._publish(Notice(name="head_lost", detail=detail, level="error"))
            else:
                self._publish(Notice(name="head_back", detail="Ray's head answers again"))
