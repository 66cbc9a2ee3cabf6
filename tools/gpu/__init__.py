"""Measurements on a machine with a GPU (`make gpu PART=…`); without one, a toy size on the CPU.

It needs only torch, numpy, tiktoken, msgpack, nvidia-ml-py and this repository, as rented machines
often have nothing else and no network.
"""
