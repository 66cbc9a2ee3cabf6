"""Transfers: patches kept on one rung are tried on another, and their gains are compared."""
