"""TensorRT on NVIDIA GPUs."""
