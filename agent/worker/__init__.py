"""The process of its own that asks a model."""
