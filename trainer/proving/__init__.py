"""A card proves itself on the spot: what works of it, which size fits, what a whole run is like.

Each step has a limit, a named fault where it fails and something that runs instead. The same
program runs with the processor in the card's place.
"""
