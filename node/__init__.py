"""Joins it all on one machine: store, journal, research loop and command line."""
