"""The parts of a run that every kind of task shares: clocks, costs, ceilings, outcomes."""
