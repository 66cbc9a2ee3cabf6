"""The node: store, journal, research loop, networking and command line on one machine."""
