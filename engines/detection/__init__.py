"""Object detection with ultralytics models."""
