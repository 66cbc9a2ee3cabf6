"""A node's home: its folder, lock, key and control socket, its settings and its networks."""
