"""What the day view adds on a camera's own nights: ``nightday-eval --week``."""
