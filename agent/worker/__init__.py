"""A separate process that asks a model."""
