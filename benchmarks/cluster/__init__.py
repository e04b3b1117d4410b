"""Cameras on the nodes of a cluster, while nodes die and freeze; and what a second node is worth."""
