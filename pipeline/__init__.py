"""Everything that flows: readers, batcher, translator, background, detector and sinks."""
