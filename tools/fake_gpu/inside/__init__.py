"""Code that runs in the environment of fake cards: a script as in a sandbox, without values.

It imports only torch, numpy and the harness, as nothing else is installed there.
"""
