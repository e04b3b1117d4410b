"""Engines in service: loading, building beside the cameras, and probation."""
