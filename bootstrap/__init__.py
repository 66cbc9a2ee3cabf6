"""The well-known node's package: network definitions and deployment files belong here.

A bootstrap node relays and archives records; it confers no trust. It has no program before
nodes have a network to speak over.
"""
