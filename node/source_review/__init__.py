"""Checks between a peer's source and this node's head, and the authorship of its lines."""
