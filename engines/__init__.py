"""The ground floor: the night-to-day generator with its colour invariant in the graph, and what compiles it."""

__version__ = "0.1.0"
