"""Lanes on other machines of the same owner: their messages, and the connections to them."""
