"""A configuration as plain values, such as YAML holds."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import BaseModel, SecretStr

from ..core.camera_url import MASK, CameraUrl
from .output import OutputConfig


def plain(value: object, *, reveal: bool) -> object:
    """``value`` of plain mappings, lists, texts and numbers, every key spelled out.

    Args:
        value: a part of a configuration.
        reveal: show secrets, which are masked otherwise. What shows them goes to this program's own nodes alone.
    """
    if isinstance(value, OutputConfig) and value.is_plain:
        return plain(value.to, reveal=reveal)
    if isinstance(value, BaseModel):
        values = {
            field.alias or key: plain(getattr(value, key), reveal=reveal)
            for key, field in type(value).model_fields.items()
        }
        if isinstance(value, OutputConfig) and value.size is not None and not value.size[0]:
            values["size"] = value.size[1]
        return values
    if isinstance(value, dict):
        return {key: plain(item, reveal=reveal) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item, reveal=reveal) for item in value]
    if isinstance(value, SecretStr):
        return value.get_secret_value() if reveal else MASK
    if isinstance(value, CameraUrl):
        return value.reveal() if reveal else str(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value
