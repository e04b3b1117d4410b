"""The checkpoints that come with the package; ``nightday.engines.bundled`` finds them."""
