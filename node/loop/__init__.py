"""The research loop of one line: its agenda, its ideas, and its choice among peers' claims."""
