"""Which nodes are one owner's: the list of their keys, which the owner's key signs.

The machines of a fleet see each other only over the internet, and stay nodes with records of their
own. `friends = "fleet:KEY"` names the owner, `arnode friends sign` in the home of that key writes
the list, `arnode friends take` brings a newer one to a node. A key that is not on it any more is
a stranger's again.
"""

from collections.abc import Iterable
from typing import Final

from node.home.network_definition import AUTHOR_BYTES, key_of
from node.home.signed_list import ListKind, SignedList, read_signed, signed
from protocol.errors import Rejected
from protocol.keys import SigningKey

MAX_MEMBERS: Final = 256
FLEET: Final = "fleet:"  # before the owner's key in a setting

_KIND: Final = ListKind(
    header="arnode-fleet 1", context=b"arnode/fleet-list/1\0", items="keys", most=MAX_MEMBERS
)


def owner_of(friends: str) -> bytes | None:
    """Return the key that a setting `fleet:KEY` names; None for another text."""
    if not friends.startswith(FLEET):
        return None
    return key_of(friends.removeprefix(FLEET), AUTHOR_BYTES)


def sign_fleet(members: Iterable[bytes], *, key: SigningKey, written_s: int) -> SignedList:
    """Return the list of 1 to 256 nodes, by their author keys, signed by their owner."""
    keys = (member.hex() for member in members)
    return signed(_KIND, _of(key.public), keys, key=key, written_s=written_s)


def read_fleet(data: bytes, *, owner: bytes, now_s: float) -> SignedList | Rejected:
    """Return the list that an owner signed, or the first thing that is wrong with it."""
    whose = "the owner that `friends` names"
    read = read_signed(_KIND, data, of=_of(owner), key=owner, whose=whose, now_s=now_s)
    if isinstance(read, SignedList):
        for number, digits in enumerate(read.items, 1):
            if key_of(digits, AUTHOR_BYTES) is None or digits != digits.lower():
                return Rejected(f"its key {number} is no 64 hex digits")
    return read


def members_of(listed: SignedList) -> frozenset[bytes]:
    """Return the author keys on a list."""
    return frozenset(map(bytes.fromhex, listed.items))


def _of(owner: bytes) -> str:
    return f"owner {owner.hex()}"
