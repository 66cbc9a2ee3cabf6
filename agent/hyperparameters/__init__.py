"""A proposer that needs no language model."""
