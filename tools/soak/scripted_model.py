"""The answers of these tests' scripted model on `tiny`: edits of one constant."""

import math
import random
import re
from typing import Final

from tests.agent.scripted import replacing

_CONSTANTS: Final = ("MATRIX_INIT", "EMBEDDING_INIT", "LEARNING_RATE", "WARMDOWN", "BETA1", "BETA2")
_MOST: Final = 2.5  # largest absolute logarithm of the factor on a value


def rash_edit(prompt: str, chance: random.Random) -> str:
    """Return a random edit of a constant of the prompt's source, which hardly ever helps.

    An edit that changes hardly anything would be rejected as already tried.
    """
    return _another(chance.choice(_CONSTANTS), prompt, chance)


def idle_edit(prompt: str, chance: random.Random) -> str:
    """Return an edit without effect: of Adam's epsilon, which is far below what it is added to.

    A new value makes it a new experiment, so that it is not rejected as already tried.
    """
    return _another("EPSILON", prompt, chance)


def _another(name: str, prompt: str, chance: random.Random) -> str:
    found = re.search(rf"{name} = ([0-9][0-9.e-]*)", prompt)
    value = float(found[1]) if found else 1.0
    old = found[0] if found else f"{name} = 1.0"
    new = value * math.exp(chance.uniform(-_MOST, _MOST))
    return replacing((old, f"{name} = {new:.4g}"), title=f"Another {name}")
