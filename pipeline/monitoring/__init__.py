"""What people and machines see of a run: log, status, metrics, page and HTTP API."""
