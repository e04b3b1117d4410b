"""A model of its own for each camera: collected for, trained beside the cameras, judged, and put into service."""
