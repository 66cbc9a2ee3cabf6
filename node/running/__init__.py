"""A running node: its assembly, its program, its live view and its stand-in task."""
