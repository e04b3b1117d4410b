"""Video as its maker meant it to be shown: which stream, what colours, which way up, from which fields."""
