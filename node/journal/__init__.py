"""The journal: a git repository per task and hardware class, derived from the store."""
