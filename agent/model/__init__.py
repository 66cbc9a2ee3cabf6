"""The proposer that asks a language model: what it is shown and what becomes of its answer."""
