"""Programs as a kind of task: bytes in, bytes out; instances, clock and checking are ours."""
