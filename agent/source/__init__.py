"""Reads and rewrites the source of an experiment: lint, fingerprint, knobs' literals, edits."""
