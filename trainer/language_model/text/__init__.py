"""The text that models learn from and are scored on: fetched, split, cut into tokens."""
