"""A job's body that no kind of job wrote, for tests of what keeps bodies."""

from dataclasses import dataclass
from typing import ClassVar, Self

from protocol.encoding import Value


@dataclass(frozen=True, slots=True)
class FreeStep:
    """A step with any body."""

    value: Value

    KIND: ClassVar = "experiment"
    IS_ON_ONE_SPLIT: ClassVar = False

    def to_value(self) -> Value:
        """Return the body to keep."""
        return self.value

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """Return the step that a body keeps."""
        return cls(value)
