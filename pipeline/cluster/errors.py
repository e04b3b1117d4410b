"""What goes wrong with a cluster as a whole."""

from __future__ import annotations

from nightday.engines.errors import NightdayError


class ClusterError(NightdayError, RuntimeError):
    """There is no cluster, or it cannot be used. The message is one line and says what to do."""
