"""Sandboxes: isolated processes that run untrusted code."""
