"""Compiled engines on disk, and what they depend on."""
