"""The research loop of one line: queue, decisions, records."""
