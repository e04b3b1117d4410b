"""``python -m benchmarks.gpu``: every figure that needs a GPU, as ratios, in one run of a few minutes."""
