"""Starting, watching, reloading and ending a run."""
