"""The ground floor: the night-to-day generator with its colour invariant in the graph, and what compiles it.

``load_engine`` and ``Engine`` bring in PyTorch, so they are imported when they are first asked for: a configuration
can be checked, and ``--help`` printed, without it.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .choices import Backend, Precision
from .errors import CheckpointError, EngineError

if TYPE_CHECKING:
    from .backends.base import Engine
    from .selection.load import load_engine

__all__ = ["Backend", "CheckpointError", "Engine", "EngineError", "Precision", "load_engine"]

_MODULES = {"Engine": ".backends.base", "load_engine": ".selection.load"}

# OpenVINO and NNCF report over the network that they are used, unless this module of theirs is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)
