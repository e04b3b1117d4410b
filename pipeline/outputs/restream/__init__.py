"""Live streams to a server, whatever the protocol: what all of them do."""
