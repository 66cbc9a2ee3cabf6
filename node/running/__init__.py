"""A node as it runs: how it is put together, its program, its view, what stands in for it."""
