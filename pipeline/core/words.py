"""Words of sentences for people."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """``1 camera``, ``2 cameras``: a number with the word for what is counted, whose plural ends in s."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
