"""What nodes say to each other and what follows from it: pure values and functions.

Records, keys, canonical encoding, tasks, patches, hardware classes and statistics. Nothing here
reads a file, a clock or a random source; whoever calls passes such things in.
"""
