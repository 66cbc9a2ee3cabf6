"""The core's side of the network: which peers to dial, what to send them, and what to ask them.

The network process (`node.network`) carries bytes. Everything that needs the store is here, in the
core. The core checks everything that arrives before it uses it.
"""
