"""Results as they are written to JSON."""

from __future__ import annotations

from typing import Any


def rounded(value: Any) -> Any:
    """``value`` with each number to four digits after the point, and None for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    if isinstance(value, float):
        return None if value != value else round(value, 4)
    return value
