"""The research loop of one line: its agenda, its ideas, and what it takes of what peers claim."""
