"""A task's folder: its files, hyperparameters, moves and published findings."""
