"""Long proofs, run by `make soak PART=…`; each appends one line of figures to docs/soak.jsonl."""
