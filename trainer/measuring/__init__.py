"""What every kind of task shares of a run: clocks, costs, ceilings, outcomes."""
