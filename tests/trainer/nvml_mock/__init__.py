"""`nvidia-ml-py` over a driver's library of our own: calls, types, units and faults are true."""
