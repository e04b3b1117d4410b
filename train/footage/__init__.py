"""Day and night pictures of a scene: reading, checking, augmenting, and simulating nights."""
