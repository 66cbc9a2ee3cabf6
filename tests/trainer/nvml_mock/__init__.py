"""`nvidia-ml-py` with our own driver library: its calls, types, units and errors are real."""
