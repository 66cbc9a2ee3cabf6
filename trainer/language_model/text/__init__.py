"""The text that models are trained and scored on: downloaded, split, cut into tokens."""
