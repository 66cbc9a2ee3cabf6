"""A place where a coding agent works on a task's files, and nowhere else."""
