"""Lanes of other machines of the same owner: what they are asked, and how they are reached."""
