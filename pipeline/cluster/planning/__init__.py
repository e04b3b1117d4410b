"""How many cameras a machine carries: what a frame costs here, measured, and a simulation of what that leads to."""
