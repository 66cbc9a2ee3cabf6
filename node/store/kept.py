"""What the store keeps about a line beside its records: this node's own, never sent."""

from typing import TypeVar

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.store.jobs import LineKey
from node.store.store import Store
from protocol.encoding import decode, encode
from protocol.errors import Rejected
from protocol.fields import Mapped

M = TypeVar("M", bound=Mapped)


def meta_key(what: str, line: LineKey) -> str:
    """Return the name under which the store keeps something about a line."""
    return f"{what}/{line.task.hex()}/{line.hardware_class}"


def kept_of(store: Store, what: str, line: LineKey, kind: type[M], *, limit_bytes: int) -> M | None:
    """Return what is kept under a name, None if nothing is. Raises DamagedStoreError."""
    kept = store.meta(meta_key(what, line))
    if kept is None:
        return None
    value = decode(kept, limit_bytes=limit_bytes)
    read = value if isinstance(value, Rejected) else kind.from_value(value)
    if isinstance(read, Rejected):
        raise DamagedStoreError(f"what the store keeps of {what} does not read", DAMAGED_HINT)
    return read


def keep(store: Store, what: str, line: LineKey, value: Mapped) -> None:
    """Keep something under a name, in the place of what was there."""
    store.set_meta(meta_key(what, line), encode(value.to_value()))
