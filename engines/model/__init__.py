"""The generator, with the learnable colour invariant and the full-resolution lift in its graph."""
