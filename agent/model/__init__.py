"""A proposer that asks a language model: its prompts, and the reading of its answers."""
