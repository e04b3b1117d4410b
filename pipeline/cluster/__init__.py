"""Many machines as one: which of them runs which camera. In ``planning``: how many cameras a machine carries."""
