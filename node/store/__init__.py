"""The node's memory: one SQLite file and content-addressed blobs; `Store` is the way in.

The journal, a git repository for each task and hardware class, is derived from it.
"""
