"""``python -m benchmarks.against``: the pipeline on RTSP cameras, alone and beside what else does its work."""
