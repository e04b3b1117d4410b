"""The exceptions of this project, one tree.

Each message is one line: the thing, what is wrong with it, the way out.
"""

from __future__ import annotations

from typing import Literal

EngineSetting = Literal["backend", "precision", "translate_size"]


class NightdayError(Exception):
    """Whatever nightday-stream raises by itself."""


class EngineError(NightdayError, RuntimeError):
    """An engine cannot be had on this machine as it was asked for.

    Attributes:
        setting: the setting that asks for what cannot be had.
    """

    def __init__(self, message: str, *, setting: EngineSetting) -> None:
        super().__init__(message)
        self.setting: EngineSetting = setting


class CheckpointError(NightdayError, ValueError):
    """A file is missing or is not a checkpoint of this project. The message names the file."""


class DetectorError(NightdayError, RuntimeError):
    """A detector cannot be loaded. The message names its file."""
