"""A real Home Assistant beside a real broker: what it makes of the cameras."""
