"""Files exchanged between nodes and with other tools: bundles, imports, pull requests."""
