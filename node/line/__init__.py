"""The research on one task and hardware class: its writer, kinds of job, and records."""
