"""Walls around processes that run others' code."""
