"""A training run and its settings."""
