"""The demo's clips, installed as ``nightday.clips``; ``nightday.engines.bundled`` finds them."""
