"""What a user may ask of an engine. Imports nothing heavy, so that a configuration can be checked without torch."""

from __future__ import annotations

from typing import Literal

Backend = Literal["auto", "eager", "compile", "openvino", "tensorrt"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Reuse = Literal["auto", "off"]

# Smallest height and width of a picture, pixels. In a smaller one the reflection paddings would be wider than the
# picture at the generator's smallest scale.
MIN_SIDE = 16
