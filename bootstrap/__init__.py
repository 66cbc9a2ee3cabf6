"""The well-known node's package: definitions of networks, and files to deploy a node with.

A bootstrap node relays and archives records; it confers no trust. `networks/` is read by every
node as data that comes with arnode.
"""
