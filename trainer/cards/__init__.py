"""NVIDIA cards: their properties, their state, and their use by other programs."""
