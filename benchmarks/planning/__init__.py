"""Plans against what comes of them: cameras that really run, and ten thousand that are placed while nodes fail."""
