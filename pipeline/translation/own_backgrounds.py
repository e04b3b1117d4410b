"""Whether a camera's night can be translated with its own backgrounds, and if not, why it is brightened."""

from __future__ import annotations

from nightday.engines.backends.base import Engine

from ..core.backgrounds import Backgrounds

NO_DAY = "no day seen yet"
LEARNING_NIGHT = "learning its night"
STARTING = "engine is being prepared"
FAILED = "engine could not be built"
NO_INPUTS = "its model takes no backgrounds"


def needs_backgrounds(engine: Engine | None) -> bool:
    """Whether an engine takes the camera's backgrounds beside the frames, and cannot do without."""
    return engine is not None and engine.needs_backgrounds


def why_brightened(engine: Engine, backgrounds: Backgrounds, height: int, width: int) -> str:
    """Why a night of this size cannot be translated with ``backgrounds``, in a few words; "" if it can be.

    An engine without inputs for backgrounds holds another camera's, or none, so it is never shown.
    """
    if backgrounds.day is None:
        return NO_DAY
    if not needs_backgrounds(engine):
        return NO_INPUTS
    return "" if backgrounds.complete_for(height, width) else LEARNING_NIGHT
