"""The home folder of a node: its files, keys, lock, people and control socket."""
