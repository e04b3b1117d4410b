"""The ground floor: the night-to-day generator with its colour invariant in the graph, and what compiles it."""

import sys

from .backends.base import Engine
from .choices import Backend, Precision
from .errors import CheckpointError, EngineError
from .selection.load import load_engine

__all__ = ["Backend", "CheckpointError", "Engine", "EngineError", "Precision", "load_engine"]

# OpenVINO and NNCF report over the network that they are used, unless this module of theirs is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
