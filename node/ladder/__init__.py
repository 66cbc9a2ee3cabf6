"""Transfers between rungs: patches kept on one task are tried on the next, with statistics."""
