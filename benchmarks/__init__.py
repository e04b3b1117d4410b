"""Measurements. ``benchmarks/results`` names, for every figure, the command here that gives it."""
