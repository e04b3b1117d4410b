"""The ground floor: the night-to-day generator with its colour invariant in the graph, and what compiles it.

Importing this package is cheap: PyTorch and the backends are imported when ``load_engine`` or ``Engine`` is first
used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .choices import Backend, Precision
from .errors import CheckpointError, EngineError

if TYPE_CHECKING:
    from .backends.base import Engine
    from .selection.load import load_engine

__all__ = ["Backend", "CheckpointError", "Engine", "EngineError", "Precision", "load_engine"]

# OpenVINO reports over the network that it is used, unless this module of its is missing. Every import
# of it in this project comes after that of this package.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def __getattr__(name: str) -> object:
    """``Engine`` and ``load_engine``, imported when they are first asked for (PEP 562)."""
    if name == "Engine":
        from .backends.base import Engine

        return Engine
    if name == "load_engine":
        from .selection.load import load_engine

        return load_engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
