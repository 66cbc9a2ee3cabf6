"""What a task's folder says: its files, knobs, moves and published findings."""
