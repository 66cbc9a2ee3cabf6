"""The local machine: its hardware class, its capacity, its processes and its files."""
