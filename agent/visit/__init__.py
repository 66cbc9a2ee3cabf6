"""A visit of a model or a coding agent: its trace, and the steps that programs report."""
