"""Readers for models' answers, one module per family of formats."""
