"""What the scripted model of these proofs writes about `tiny`: an edit of one constant."""

import random
import re
from typing import Final

_EPSILON: Final = re.compile(r"EPSILON = [0-9.]+e-8")


def idle_edit(prompt: str, chance: random.Random) -> str:
    """Return an edit that changes next to nothing, of the source in a prompt."""
    found = _EPSILON.search(prompt)
    old = found[0] if found else "EPSILON = 1e-8"
    return edit("Another epsilon", old, f"EPSILON = {chance.uniform(0.9, 1.1):.6f}e-8")


def edit(title: str, old: str, new: str) -> str:
    """Return an edit as a model writes it."""
    block = f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"
    return f"TITLE: {title}\nWHY: It may do.\ntrain.py\n{block}"
