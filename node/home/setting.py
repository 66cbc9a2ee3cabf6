"""The properties of a setting, stated once next to its name and default in `node.home.config`.

Reading a file, the environment and flags, their errors, the flags of commands and the page of
documentation all follow from it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from node.home.values import Given

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

D = TypeVar("D")
T = TypeVar("T")

VARIABLES = "ARNODE_"


@dataclass(frozen=True, slots=True)
class ValueKind(Generic[T]):
    """How a value is read, and what people are told that a setting takes.

    `read` raises KeyError, TypeError or ValueError.
    """

    read: Callable[[Given], T]
    wanted: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A command's flag for a setting: its help, and how its value is named and taken there.

    `option`: what the flag is called, where it is not called like the setting.
    """

    help: str
    metavar: str | None = None
    type: Callable[[str], object] | None = None
    is_repeated: bool = False
    option: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is stated of one setting beside its type and default."""

    name: str
    kind: ValueKind[Any]
    flag: Flag | None

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return VARIABLES + self.name.upper()

    @property
    def option(self) -> str:
        """The flag that sets it."""
        named = "" if self.flag is None else self.flag.option
        return named or f"--{self.name.replace('_', '-')}"


def setting(default: D, kind: ValueKind[T], flag: Flag | None = None) -> D | T:
    """Declare a field of the settings' dataclass.

    What stands below it says what it means, and after `For:` who needs it.
    """
    return field(default=default, metadata={"kind": kind, "flag": flag})


def settings_of(table: "type[DataclassInstance]") -> dict[str, Setting]:
    """Return what a dataclass of such fields states, by name and in its order."""
    return {one.name: Setting(name=one.name, **one.metadata) for one in fields(table)}
