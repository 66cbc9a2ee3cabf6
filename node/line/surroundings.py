"""What a line's figures depend on besides its task and class: torch, the driver, the card."""

from dataclasses import dataclass

from node.home.faults import DAMAGED_HINT, DamagedStoreError
from node.store.jobs import LineKey
from node.store.kept import meta_key
from node.store.store import Store
from protocol.encoding import Value, decode, encode
from protocol.errors import Rejected
from protocol.runs import Env

# What shifts a metric when it changes; cores, names and the operating system do not.
_DECISIVE = ("torch", "numpy", "cpu", "driver", "cuda_driver", "power_limit_w", "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The decisive part of an environment, and the last job that saw another one (0: none did)."""

    env: Env
    after_job: int


def decisive(env: Env) -> Env:
    """Return the part of an environment that figures depend on."""
    return Env.of({name: value for name, value in env.items if name in _DECISIVE})


def changes_between(before: Env, now: Env) -> str:
    """Return what differs, for people."""
    names = sorted({name for name, _ in (*before.items, *now.items)})
    return ", ".join(
        f"{name} {before.get(name)} → {now.get(name)}"
        for name in names
        if before.get(name) != now.get(name)
    )


def surroundings_of(store: Store, line: LineKey) -> Surroundings | None:
    """Return what a line was last measured in; None before that was ever noted."""
    kept = store.meta(meta_key("surroundings", line))
    if kept is None:
        return None
    match decode(kept):
        case {"env": dict() as value, "after": int() as after_job}:
            env = Env.from_value(value)
            if not isinstance(env, Rejected):
                return Surroundings(env=env, after_job=after_job)
    raise DamagedStoreError("an environment in the store does not read", DAMAGED_HINT)


def keep_surroundings(store: Store, line: LineKey, found: Surroundings) -> None:
    """Remember what a line is measured in from now on."""
    value: Value = {"env": found.env.to_value(), "after": found.after_job}
    store.set_meta(meta_key("surroundings", line), encode(value))
