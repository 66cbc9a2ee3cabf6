"""Frozen evaluators, one module per string that a manifest's `evaluator` may name."""
