"""The user's friends and blocked keys: a small file in the home.

They decide whose claims this node re-runs first or ignores, and nothing else. Leaderboards show all
authors, and a friend's claim is no evidence.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from node.home.faults import explaining_faults
from node.home.files import write_file
from protocol.errors import ConfigurationError

_KEY_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Author keys. `fleet` has the user's other nodes, which are not stored in this file."""

    friends: frozenset[bytes] = frozenset()
    blocked: frozenset[bytes] = frozenset()
    fleet: frozenset[bytes] = frozenset()

    @property
    def trusted(self) -> frozenset[bytes]:
        """The friends and the fleet, whose claims are considered before those of new authors."""
        return self.friends | self.fleet


def read_people(path: Path) -> People:
    """Return the people in the file; empty if there is no file.

    Raises ConfigurationError if the file is invalid.
    """
    with explaining_faults(path):
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return People()
    try:
        match json.loads(text):
            case {"friends": list() as friends, "blocked": list() as blocked}:
                return People(friends=_keys(friends), blocked=_keys(blocked))
    except ValueError:
        pass
    raise ConfigurationError(
        f"{path} is not a list of friends and blocked keys",
        "fix it or move it away; `arnode network friends add` and `arnode network block` write it",
    )


def write_people(path: Path, people: People) -> None:
    """Write the user's friends and blocked keys."""
    document = {
        "friends": sorted(key.hex() for key in people.friends),
        "blocked": sorted(key.hex() for key in people.blocked),
    }
    write_file(path, (json.dumps(document, indent=2) + "\n").encode())


def _keys(values: Iterable[object]) -> frozenset[bytes]:
    keys = [bytes.fromhex(value) for value in values if isinstance(value, str)]
    if any(2 * len(key) != _KEY_DIGITS for key in keys):
        raise ValueError
    return frozenset(keys)
