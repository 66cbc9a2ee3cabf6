"""Benchmarks against the alternatives, run by `make bench PART=…`, kept in docs/bench.json."""
