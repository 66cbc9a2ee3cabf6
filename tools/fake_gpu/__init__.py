"""NVIDIA without a card: whole scripts run on tensors with a shape and no values.

A CUDA build of torch, in its own environment, sees a card that does not exist. Torch's
FakeTensorMode computes the shapes that every operation would return (forward, backward, optimiser,
at full size) and the card memory that each would hold. Inductor and ptxas compile for real, but
their kernels are never launched. Values, speed and the driver are not tested.
"""
