"""Which backend and precision serve a checkpoint on this machine."""
