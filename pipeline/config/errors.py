"""The exception of a configuration that is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from nightday.engines.errors import NightdayError

# What a configuration looks like, for whoever wrote something of another shape.
EXAMPLE = (
    "cameras:",
    "  - name: gate",
    "    url: rtsp://viewer:${GATE_PASSWORD}@10.0.0.5/stream1",
)


class ConfigError(NightdayError, ValueError):
    """The configuration is wrong.

    Attributes:
        faults: a line for each thing wrong, without secrets.
        example: lines that show how a configuration looks, where its shape is what is wrong; else empty.
    """

    def __init__(self, faults: Sequence[str], *, example: Sequence[str] = ()) -> None:
        super().__init__("\n".join([*faults, *example]))
        self.faults = tuple(faults)
        self.example = tuple(example)
