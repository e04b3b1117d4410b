"""How a run went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.status import CameraStatus

Cause = Literal["finished", "duration", "signal", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went.

    Attributes:
        cause: what ended it: all sources at their end, the time limit, a signal, or a failure of the program.
        problems: one line for each thing that went wrong and was not put right.
        files: what was written.
        cameras: each camera at the end.
        clean: whether every thread ended; if not, only ``os._exit`` is sure to end the process.
    """

    cause: Cause
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    cameras: tuple[CameraStatus, ...]
    clean: bool
