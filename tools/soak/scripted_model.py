"""What the scripted model of these proofs writes about `tiny`: an edit of one constant."""

import math
import random
import re
from typing import Final

from tests.agent.scripted import replacing

_CONSTANTS: Final = ("MATRIX_INIT", "EMBEDDING_INIT", "LEARNING_RATE", "WARMDOWN", "BETA1", "BETA2")
_MOST: Final = 2.5  # in the logarithm of what a value is multiplied by


def rash_edit(prompt: str, chance: random.Random) -> str:
    """Return an edit of the source in a prompt that hardly ever helps: some constant, anyhow.

    What changes nothing would be sent back: it is hardly different from what was tried.
    """
    return _another(chance.choice(_CONSTANTS), prompt, chance)


def idle_edit(prompt: str, chance: random.Random) -> str:
    """Return an edit that neither helps nor harms: Adam's epsilon, far below what it is added to.

    Another value of it is another experiment, so that it is not sent back.
    """
    return _another("EPSILON", prompt, chance)


def _another(name: str, prompt: str, chance: random.Random) -> str:
    found = re.search(rf"{name} = ([0-9][0-9.e-]*)", prompt)
    value = float(found[1]) if found else 1.0
    old = found[0] if found else f"{name} = 1.0"
    new = value * math.exp(chance.uniform(-_MOST, _MOST))
    return replacing((old, f"{name} = {new:.4g}"), title=f"Another {name}")
