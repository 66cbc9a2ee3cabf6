"""Exports of this node's experiments and leaderboards, for other tools and web servers."""
