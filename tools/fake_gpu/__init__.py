"""NVIDIA without a card: whole scripts on tensors that have a shape and no numbers.

A build of torch for CUDA, in an environment of its own, is told of a card that is not there, and
torch's FakeTensorMode computes what every operation would return: forward, backward, optimiser, at
full size, with what each would hold of the card's memory. Inductor and ptxas compile for real; what
they made is never launched. Numbers, speed and the driver are not shown.
"""
