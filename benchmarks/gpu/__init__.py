"""``python -m benchmarks.gpu``: every figure that takes a GPU, in one run of a few minutes, as ratios."""
