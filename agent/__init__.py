"""Proposes patches. No proposer decides acceptance or reads a metric."""
