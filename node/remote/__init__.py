"""Lanes on other machines of the same owner: their messages, and the links to them."""
