"""What runs in the environment of fake cards: a script as a sandbox runs it, without numbers.

Imports torch, numpy and the harness alone: nothing else is installed there.
"""
