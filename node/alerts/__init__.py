"""Tells the user, wherever they are, of the few things that they want to hear at once."""
