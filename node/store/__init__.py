"""The node's memory: one SQLite file and content-addressed blobs. `Store` is the way in."""
