"""The proposer that needs no language model."""
