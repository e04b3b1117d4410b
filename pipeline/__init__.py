"""Everything that flows: sources, translation, detection and outputs."""
