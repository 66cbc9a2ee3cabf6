"""Measurements and proofs that take minutes: `make bench`, `make soak`, `make gpu`.

They import the product and the helpers of its tests. Of the tests, those in `tests/tools/`, which
run short forms of what is here, import this; nothing else does.
"""
