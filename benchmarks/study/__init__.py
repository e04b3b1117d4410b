"""The study: the paper's comparison on six scenes that anyone may have. ``python -m benchmarks.study --help``."""
