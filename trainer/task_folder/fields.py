"""A reader of a task's TOML files: typed fields, and errors that name the file, field and fix.

It knows the types of fields, not their meaning (`trainer.task_folder.task`).
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protocol.errors import ConfigurationError
from trainer.host.folder_files import read_plain

TomlTable = Mapping[str, object]

_MAX_BYTES = 4 << 20  # four times a catalogue of hundreds of whole scripts


def nearest(word: str, possible: Iterable[str]) -> str:
    """Return a hint that names the possible word most similar to `word`, or all possible words."""
    known = sorted(possible)
    begun = [one for one in known if word and one.startswith(word)]
    similar = begun if len(begun) == 1 else difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {similar[0]!r}?" if similar else f"possible: {', '.join(known)}"


def read_toml(path: Path) -> TomlTable:
    """Read a TOML file. Raises ConfigurationError if it is missing or broken."""
    try:
        return tomllib.loads(read_plain(path, limit_bytes=_MAX_BYTES).decode())
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read ({error.strerror})", "a task folder needs this file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path}: not TOML: {error}", "fix the line that this message names"
        ) from error
    except RecursionError as error:  # arrays in arrays in arrays
        raise ConfigurationError(f"{path}: nested too deeply", "write it flat") from error


@dataclass(frozen=True, slots=True)
class Fields:
    """One table of a TOML file.

    Each getter returns a field's value, and raises ConfigurationError if it is invalid. `text` must
    not be empty; `content` may be. `scalars` is a list of at least two plain values. `finish`
    rejects the fields that no getter has read.
    """

    path: Path
    table: TomlTable
    prefix: str = ""
    _seen: set[str] = field(default_factory=set)

    def error(self, name: str, problem: str, hint: str) -> ConfigurationError:
        """Return an error about a field, ready to raise."""
        return ConfigurationError(f"{self.path}: {self.prefix}{name} {problem}", hint)

    def has(self, name: str) -> bool:
        """Return True if the table has the field, and mark the field as known."""
        self._seen.add(name)
        return name in self.table

    def names(self) -> list[str]:
        """Return the names of the table's fields, in the file's order."""
        return list(self.table)

    def _value(self, name: str, expected: str) -> object:
        if not self.has(name):
            raise self.error(name, "is missing", f"add it: {expected}")
        return self.table[name]

    def text(self, name: str) -> str:
        value = self.content(name)
        if not value.strip():
            raise self.error(name, f"is {value!r}", "it must be text in quotes")
        return value

    def content(self, name: str) -> str:
        value = self._value(name, "some text in quotes")
        if not isinstance(value, str):
            raise self.error(name, f"is {value!r}", "it must be text in quotes")
        return value

    def flag(self, name: str) -> bool:
        value = self._value(name, "true or false")
        if not isinstance(value, bool):
            raise self.error(name, f"is {value!r}", "it must be true or false, without quotes")
        return value

    def one_of(self, name: str, possible: tuple[str, ...]) -> str:
        value = self._value(name, f"one of {', '.join(possible)}")
        if value not in possible or not isinstance(value, str):
            raise self.error(name, f"is {value!r}", nearest(str(value), possible))
        return value

    def whole(self, name: str, *, low: int, high: int) -> int:
        value = self._value(name, f"a whole number from {low} to {high}")
        if type(value) is not int or not low <= value <= high:  # bool is an int subclass
            raise self.error(name, f"is {value!r}", f"write a whole number from {low} to {high}")
        return value

    def number(self, name: str, *, low: float, high: float) -> float:
        value = self._value(name, f"a number from {low:g} to {high:g}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high:  # type: ignore[operator]
            raise self.error(name, f"is {value!r}", f"write a number from {low:g} to {high:g}")
        return float(value)  # type: ignore[arg-type]

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._value(name, "a list of texts")
        if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
            raise self.error(name, f"is {value!r}", 'it must be a list such as ["train.py"]')
        return tuple(value)

    def scalar(self, name: str) -> int | float | str | bool:
        value = self._value(name, "a number, a text, true or false")
        if not isinstance(value, int | float | str | bool):
            raise self.error(name, f"is {value!r}", "it must be a number, a text, true or false")
        return value

    def scalars(self, name: str) -> tuple[int | float | str | bool, ...]:
        value = self._value(name, "a list of values")
        if not isinstance(value, list) or len(value) < 2:
            raise self.error(name, f"is {value!r}", "it must be a list of at least two values")
        if not all(isinstance(item, int | float | str | bool) for item in value):
            raise self.error(name, f"is {value!r}", "each must be a number, a text, true or false")
        return tuple(value)

    def digest(self, name: str) -> bytes:
        """Return a sha256 given as 64 hex digits."""
        value = self.text(name)
        try:
            digest = bytes.fromhex(value)
        except ValueError:
            digest = b""
        if len(digest) != 32:
            raise self.error(name, f"is {value!r}", "it must be a sha256 of 64 hex digits")
        return digest

    def section(self, name: str) -> "Fields":
        value = self._value(name, f"a section [{self.prefix}{name}]")
        if not isinstance(value, dict):
            raise self.error(name, "is not a section", f"write it as [{self.prefix}{name}]")
        return Fields(self.path, value, f"{self.prefix}{name}.")

    def sections(self, name: str) -> list["Fields"]:
        value = self._value(name, f"sections [[{self.prefix}{name}]]")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(name, "is not a list of sections", f"use [[{self.prefix}{name}]]")
        return [
            Fields(self.path, item, f"{self.prefix}{name}[{number}].")
            for number, item in enumerate(value, start=1)
        ]

    def finish(self) -> None:
        """Reject unknown fields, since a misspelt one would otherwise be ignored silently.

        Raises ConfigurationError.
        """
        for name in self.table:
            if name not in self._seen:
                raise self.error(name, "is not a known field", nearest(name, self._seen))
