"""Measurements beside the alternative, run by `make bench PART=…`; kept in docs/bench.json."""
