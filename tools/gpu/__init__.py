"""Figures of a machine with a GPU (`make gpu PART=…`); without one, the same at toy size on a CPU.

It must get by with torch, numpy, tiktoken, msgpack and this repository: such machines are lent
bare, and without a network.
"""
