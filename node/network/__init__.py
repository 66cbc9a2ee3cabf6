"""The network process: one libp2p host on trio, wrapped so that no peer can end it.

Nothing here knows the store, the signing key or what a record means; it carries bytes between
peers, holds each of them to its share, and forgets those that break the rules.
"""
