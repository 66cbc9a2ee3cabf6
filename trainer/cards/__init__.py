"""NVIDIA cards: what they are, what they do, and who else uses them."""
