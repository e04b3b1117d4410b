"""Many machines as one: which of them runs which camera."""
