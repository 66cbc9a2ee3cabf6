"""The data that nodes exchange and the rules computed from it, as pure values and functions.

Records, keys, canonical encoding, tasks, patches, hardware classes and statistics. Nothing here
reads a file, a clock or a random source; callers pass in the values.
"""
