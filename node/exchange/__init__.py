"""What crosses between nodes and tools as files: bundles, imports, pull requests."""
