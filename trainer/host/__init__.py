"""The machine that runs are measured on: its hardware class and its processes."""
