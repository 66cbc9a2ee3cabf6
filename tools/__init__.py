"""Measurements and long tests that take minutes: `make bench`, `make soak`, `make gpu`.

They import the product and the helpers of its tests. Only the tests in `tests/tools/`, which run
short versions of these tools, import this package.
"""
