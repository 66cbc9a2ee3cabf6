"""Tools for an experiment's source: lint, fingerprint, hyperparameter literals, edits."""
