"""Measurements; every figure in ``benchmarks/results`` names the command here that gives it."""
