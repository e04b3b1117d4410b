"""The training method: losses, data, night simulation, trainer and evaluation."""
