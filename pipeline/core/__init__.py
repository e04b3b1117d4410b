"""The values and small parts that every other room uses."""
