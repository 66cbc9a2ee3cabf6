"""A proposer that asks a language model: its prompts and the parsers of its answers."""
