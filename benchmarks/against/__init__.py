"""``python -m benchmarks.against``: the pipeline on RTSP cameras, compared with other programs for the same work."""
