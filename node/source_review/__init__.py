"""Checks on peers' source before it runs or is adopted, and the author of each source line."""
