"""Publishing to an RTSP server."""
