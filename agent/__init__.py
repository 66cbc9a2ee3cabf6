"""Proposers, which suggest patches. No proposer decides acceptance or reads a metric."""
