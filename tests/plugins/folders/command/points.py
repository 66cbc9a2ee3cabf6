"""What is to be fitted."""

POINTS = [(1, 2.0), (2, 4.1), (3, 5.9)]
