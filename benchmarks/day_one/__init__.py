"""Cameras never seen, on their first night."""
