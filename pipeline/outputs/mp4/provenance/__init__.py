"""Signed records of recordings, and telling from them what was altered."""
