"""A camera's live streams, for viewers who come and go."""
