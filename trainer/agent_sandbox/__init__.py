"""A sandbox in which a coding agent edits a task's files."""
