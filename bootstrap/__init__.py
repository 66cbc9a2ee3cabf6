"""Bootstrap nodes: their command, definitions of networks, and files to deploy a node with.

A bootstrap node relays and archives records. It confers no trust. `networks/` ships with arnode
as data, and every node reads it.
"""
