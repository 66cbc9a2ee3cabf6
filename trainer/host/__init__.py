"""The machine that runs are measured on: its hardware class, and what its processes use."""
