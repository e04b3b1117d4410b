"""What is told of a recording when it is signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ....core.frame import Picture
from .original import Original


@dataclass(slots=True)
class Facts:
    """What is told of a recording: when its pictures came, how many, how many a model made, and which models.

    ``original`` tells the packets that they were decoded from.
    """

    begins: float = 0.0
    ends: float = 0.0
    pictures: int = 0
    generated: int = 0
    made_by: set[tuple[str, str, str]] = field(default_factory=set)
    original: Original = field(default_factory=Original)

    def following(self) -> Facts:
        """Those of the next recording, whose packets go on from here."""
        return Facts(original=Original(after=self.original.after))

    def add(self, picture: Picture, *, generated: bool) -> None:
        """One picture more; ``generated`` says whether what a model made of it is in the recording."""
        self.begins = self.begins if self.pictures else picture.frame.wall_time
        self.ends = picture.frame.wall_time
        self.pictures += 1
        self.original.add(picture.frame.packets)
        if generated:
            self.generated += 1
            if picture.made_by is not None:
                made = picture.made_by
                self.made_by.add((made.model, made.digest, f"{made.backend} {made.precision}"))

    def told(self) -> dict[str, Any]:
        """As a record has it."""
        original = self.original.told()
        return ({} if original is None else {"original": original}) | {
            "begins": utc(self.begins),
            "ends": utc(self.ends),
            "pictures": self.pictures,
            "generated": self.generated,
            "made_by": [
                {"model": model, "model_digest": sha256, "engine": engine}
                for model, sha256, engine in sorted(self.made_by)
            ],
        }


def utc(wall_time: float) -> str:
    """Unix seconds as records have them."""
    at = datetime.fromtimestamp(wall_time, timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
