"""Measurements. ``benchmarks/results`` names, for every figure, the command here that gives it."""

import sys

# OpenVINO reports over the network that it is used, and forks this process to do so, unless this module is missing.
# The engines see to that, but some benchmarks import OpenVINO before them.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
