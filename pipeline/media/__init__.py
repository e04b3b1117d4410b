"""Frames and streams as FFmpeg, NVDEC and NVENC know them."""
