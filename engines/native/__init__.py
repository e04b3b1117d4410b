"""What comes before and after the light generator, as compiled code for CPUs."""
