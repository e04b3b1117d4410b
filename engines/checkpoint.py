"""Checkpoints: a file that alone is enough to load a model."""


class CheckpointError(ValueError):
    """A file is missing or is not a checkpoint of this project. The message is one line and names the file."""
