"""Soak tests, run by `make soak PART=…`. Each appends one line of figures to docs/soak.jsonl."""
