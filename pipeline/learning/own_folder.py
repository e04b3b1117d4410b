"""What is kept on disk of one camera's own models: the pictures, the models, the round under way, and what came out.

::

    FOLDER/pictures/day, night      collected, unless the configuration names another place
    FOLDER/models/3.pt              the model of round 3
    FOLDER/round/                   the round under way; see ``rounds``
    FOLDER/report.html              of the last round that was trained to its end
    FOLDER/own_model.json           which model serves, and what came of each round

Whatever of it a crash leaves behind, the last file says what holds, and it is written whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.atomic_file import write_atomically
from ..core.state_folder import name_of

Outcome = Literal["won", "lost", "failed", "dropped", "rolled back", "taken back"]
"""What came of a round: its model serves or has served; it was no better; training failed; the scene changed
meanwhile; its engine did not pass its probation; somebody took it back."""

# Rounds that are remembered, and models that are kept: the one that serves and those it replaced.
ROUNDS, MODELS = 50, 3


@dataclass(frozen=True, slots=True)
class Round:
    """A round that has ended.

    Attributes:
        number: from 1.
        ended: Unix seconds.
        outcome: what came of it.
        why: a sentence.
    """

    number: int
    ended: float
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class OwnModels:
    """Which of a camera's own models serves.

    Attributes:
        serves: the round whose model serves; None for the general model.
        before: the rounds whose models served before it, the last of them last.
        rounds: those that have ended, the last of them last.
        tries: how often the round under way was started and killed from outside.
        not_before: Unix seconds before which no round begins.
        since: Unix seconds; pictures taken before are of an earlier view.
    """

    serves: int | None = None
    before: tuple[int, ...] = ()
    rounds: tuple[Round, ...] = field(default=())
    tries: int = 0
    not_before: float = 0.0
    since: float = 0.0

    @property
    def next_number(self) -> int:
        """The number of the round that is under way or comes next."""
        return self.rounds[-1].number + 1 if self.rounds else 1

    def ended(self, outcome: Outcome, why: str, *, now: float, not_before: float) -> OwnModels:
        """With the round under way ended."""
        rounds = (*self.rounds, Round(self.next_number, now, outcome, why))[-ROUNDS:]
        return replace(self, rounds=rounds, tries=0, not_before=not_before)

    def won(self, why: str, *, now: float, not_before: float) -> OwnModels:
        """With the round under way won, so that its model serves."""
        before = self.before if self.serves is None else (*self.before, self.serves)
        number = self.next_number
        ended = self.ended("won", why, now=now, not_before=not_before)
        return replace(ended, serves=number, before=before[-(MODELS - 1) :])

    def without(self, outcome: Outcome, why: str) -> OwnModels:
        """With the model that served before this one in its place, or the general one; ``outcome`` is why."""
        rounds = tuple(
            replace(one, outcome=outcome, why=why) if one.number == self.serves else one
            for one in self.rounds
        )
        serves = self.before[-1] if self.before else None
        return replace(self, serves=serves, before=self.before[:-1], rounds=rounds)


class OwnFolder:
    """The folder of one camera."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = folder / "pictures"
        self.round = folder / "round"
        self.report = folder / "report.html"
        self._models = folder / "models"
        self._state = folder / "own_model.json"

    @classmethod
    def of(cls, camera: str, address: str, *, root: Path) -> OwnFolder:
        """That of a camera below ``root``, by its name and the address of its source, secrets masked."""
        return cls(root / name_of(camera, address))

    def model(self, number: int) -> Path:
        """Where the model of a round is."""
        return self._models / f"{number}.pt"

    def serving(self) -> Path | None:
        """The own model that serves; None for the general one, also where the file is not there any more."""
        number = self.read().serves
        path = None if number is None else self.model(number)
        return path if path is not None and path.is_file() else None

    def read(self) -> OwnModels:
        """What holds; what cannot be read counts as nothing, and the general model serves."""
        try:
            return _parsed(json.loads(self._state.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return OwnModels()

    def write(self, own: OwnModels) -> None:
        """Have ``own`` hold, and delete the models that nothing leads back to. Raises OSError."""
        content = json.dumps(asdict(own), indent=1).encode()
        write_atomically(self._state, [content], durable=True, mode=0o644)
        kept = {*own.before, *(() if own.serves is None else (own.serves,))}
        for path in self._models.glob("*.pt"):
            if path.stem not in {str(number) for number in kept}:
                path.unlink(missing_ok=True)

    def install(self, number: int, checkpoint: Path) -> None:
        """Copy a round's checkpoint to where it will serve from. Raises OSError."""
        write_atomically(self.model(number), [checkpoint.read_bytes()], durable=True, mode=0o644)

    def end_round(self, *, report: Path | None = None) -> None:
        """Delete the round under way; ``report`` is kept. Raises OSError."""
        if report is not None and report.is_file():
            report.replace(self.report)
        # Under another name first: half a folder would be taken for a round that goes on.
        gone = self.round.with_name("round.gone")
        shutil.rmtree(gone, ignore_errors=True)
        if self.round.is_dir():
            self.round.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _parsed(content: dict[str, Any]) -> OwnModels:
    """Raises ValueError, TypeError and KeyError for what was not written by ``OwnFolder.write``."""
    rounds = tuple(Round(**one) for one in content["rounds"])
    if any(one.outcome not in get_args(Outcome) for one in rounds):
        raise ValueError("unknown outcome")
    serves = content["serves"]
    return OwnModels(
        serves=None if serves is None else int(serves),
        before=_numbers(content["before"]),
        rounds=rounds,
        tries=int(content["tries"]),
        not_before=float(content["not_before"]),
        since=float(content["since"]),
    )


def _numbers(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
