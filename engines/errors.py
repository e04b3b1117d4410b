"""The exceptions of this project, one tree.

Each message is one line: the thing, what is wrong with it, the way out.
"""

from __future__ import annotations

from typing import Literal


class NightdayError(Exception):
    """Whatever nightday-stream raises by itself."""


class EngineError(NightdayError, RuntimeError):
    """A backend or precision cannot be had on this machine.

    Attributes:
        setting: the setting that asked for it.
    """

    def __init__(self, message: str, *, setting: Literal["backend", "precision"] = "backend") -> None:
        super().__init__(message)
        self.setting: Literal["backend", "precision"] = setting


class CheckpointError(NightdayError, ValueError):
    """A file is missing or is not a checkpoint of this project. The message names the file."""


class DetectorError(NightdayError, RuntimeError):
    """A detector cannot be had."""
