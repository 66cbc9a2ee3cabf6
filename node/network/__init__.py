"""The network process: one libp2p host on trio, guarded so that no peer can crash it.

This package does not know the store, the signing key or what a record means. It carries bytes
between peers, limits what each peer may send, and disconnects peers that break the rules.
"""
