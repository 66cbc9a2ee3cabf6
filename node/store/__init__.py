"""The node's storage: one SQLite file and content-addressed blobs. `Store` is the entry point.

The journal, one git repository for each line, is derived from it.
"""
