"""How long recordings may be kept; imports nothing heavy, so that a configuration can use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .recordings import unreadable_code


@dataclass(frozen=True, slots=True)
class Limits:
    """How old (days) and how large together (gigabytes of 10⁹ bytes) an output's files may get; None: no limit."""

    days: float | None = None
    gigabytes: float | None = None


def retention_fault(template: Path) -> str | None:
    """Why old files of ``template`` cannot be told from others, in one line; None if they can."""
    code = unreadable_code(template)
    if code is None:
        return None
    return f"retention cannot read {code} back from a file's name; use %Y %m %d %H %M %S in output {template}"
