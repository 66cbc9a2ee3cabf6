"""Measurements that a command makes itself, with or without a running node."""
