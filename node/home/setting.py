"""The properties of a setting, defined once next to its name and default in `node.home.config`.

Everything else follows from them: reading the file, the environment and flags, error messages, the
flags of commands, and the page of documentation.
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
    """A function that reads a value, and a text that says which values the setting accepts.

    `read` raises KeyError, TypeError or ValueError.
    """

    read: Callable[[Given], T]
    wanted: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A command's flag for a setting: its help, and the name and type of its value.

    `option`: the flag's name, if it differs from the setting's. `bare`: the value of the flag
    without a value; "" if it needs one.
    """

    help: str
    metavar: str | None = None
    type: Callable[[str], object] | None = None
    is_repeated: bool = False
    option: str = ""
    bare: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The properties of one setting except its type and default."""

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

    The docstring below the field says what it means.
    """
    return field(default=default, metadata={"kind": kind, "flag": flag})


def settings_of(table: "type[DataclassInstance]") -> dict[str, Setting]:
    """Return the settings that a dataclass declares with `setting`, by name and in order."""
    return {one.name: Setting(name=one.name, **one.metadata) for one in fields(table)}
