"""The core's side of the network: whom to know, what to tell them, and what to ask of them.

The network process (`node.network`) carries bytes; everything that needs the store is here, in
the core, which believes nothing of what arrives before it has checked it itself.
"""
