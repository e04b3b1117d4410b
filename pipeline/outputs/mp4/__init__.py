"""Recording to MP4 files."""
