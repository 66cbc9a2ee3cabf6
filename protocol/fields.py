"""Conversion between the maps in records and frozen dataclasses with annotated fields.

A dataclass that inherits `Mapped` declares its map once. Each field's type and its notes
(`Annotated`) say how the field is read, checked and written:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class FileChange(Mapped):
        path: RelativePath
        old: Digest | None                             # None is written as nil
        size_bytes: Annotated[Natural, Named("size")]  # has another name in the map
        note: Annotated[str | None, single_line(1, 80), OPTIONAL] = None  # left out if None

Reading checks the fields in the order of their declaration and returns the first fault as a
`Rejected`. It ignores unknown entries of the map (the record's payload keeps them). Limits of text
count code points. Anything accepted once must be accepted for ever.
"""

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from types import NoneType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeAlias,
    get_args,
    get_origin,
    runtime_checkable,
)

from protocol.codecs import (
    CLASS_PATTERN,
    IDENTIFIER_PATTERN,
    Codec,
    boolean,
    choice,
    digest,
    identifier,
    integer,
    listing,
    nullable,
    pair,
    relative_path,
    single_line,
)
from protocol.encoding import Value
from protocol.errors import Rejected


class _Field(NamedTuple):
    """One field: its name in the map, its reader and writer, and the attribute of the dataclass.

    An optional field is left out of the map if the attribute is None; it is never nil.
    """

    name: str
    read: Callable[[Value], object]
    write: Callable[[Any], Value]
    attribute: str
    optional: bool


@runtime_checkable
class Valued(Protocol):
    """A type that can be written into a record and read back."""

    def to_value(self) -> Value:
        """Return the value to write into a record."""

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the object read from `value`, or the first reason why `value` is invalid."""


class Mapped:
    """A base for dataclasses that are written as maps with the same fields."""

    __slots__ = ()
    _FIELDS: ClassVar[tuple[_Field, ...]]
    NAMES: ClassVar[frozenset[str]]  # names of the fields in the map

    def __init_subclass__(cls) -> None:
        """Parse the annotations, unless `NAMES` is set: `slots=True` creates each class twice."""
        super().__init_subclass__()
        if "NAMES" not in vars(cls):
            annotations: dict[str, object] = {}
            for one in reversed(cls.__mro__):
                annotations |= inspect.get_annotations(one)
            entries = (_field(attribute, noted) for attribute, noted in annotations.items())
            cls._FIELDS = tuple(entry for entry in entries if entry is not None)
            cls.NAMES = frozenset(entry.name for entry in cls._FIELDS)

    def to_value(self) -> Value:
        """Return the map to write into a record."""
        attributes = [(entry, getattr(self, entry.attribute)) for entry in self._FIELDS]
        return {
            entry.name: entry.write(item)
            for entry, item in attributes
            if not (entry.optional and item is None)
        }

    def parts(self) -> Iterator[tuple[str, str, object]]:
        """Yield (name in the map, name of the attribute, value of the attribute) of each field."""
        for entry in self._FIELDS:
            yield entry.name, entry.attribute, getattr(self, entry.attribute)

    @classmethod
    def from_value(cls, value: Value) -> Self | Rejected:
        """Return the object read from `value`, or the first reason why `value` is invalid."""
        if type(value) is not dict:
            return Rejected("not a map")
        attributes: dict[str, object] = {}
        for name, read, _, attribute, is_optional in cls._FIELDS:
            if name not in value:
                if not is_optional:
                    return Rejected(f"{name}: missing")
                attributes[attribute] = None
                continue
            item = read(value[name])
            if isinstance(item, Rejected):
                return Rejected(f"{name}: {item.reason}")
            attributes[attribute] = item
        built = cls(**attributes)
        reason = built._fault()
        return built if reason is None else Rejected(reason)

    def _fault(self) -> str | None:
        """Return a fault that concerns several fields together, or None."""
        return None


class Named(NamedTuple):
    """An annotation with a field's name in the map, if it differs from the attribute's."""

    name: str


class Items(NamedTuple):
    """An annotation of a `tuple[…, ...]`: the least and the largest number of its items."""

    low: int
    high: int


class _Mark(Enum):
    OPTIONAL = "left out of the map for None, and never nil"
    UNWRITTEN = "no field of the map"


OPTIONAL: Final = _Mark.OPTIONAL
UNWRITTEN: Final = _Mark.UNWRITTEN

Digest: TypeAlias = Annotated[bytes, digest()]
Natural: TypeAlias = Annotated[int, integer(0)]  # 0, 1, 2 …
Positive: TypeAlias = Annotated[int, integer(1)]
Identifier: TypeAlias = Annotated[str, identifier(IDENTIFIER_PATTERN)]
ModelName: TypeAlias = Annotated[str, single_line(1, 80)]  # of a language model
RelativePath: TypeAlias = Annotated[str, relative_path()]
NamedDigest: TypeAlias = tuple[RelativePath, Digest]  # of a file
ClassName: TypeAlias = Annotated[str, identifier(CLASS_PATTERN), Named("class")]


def codec_of(annotation: object) -> Codec[Any]:
    """Return the codec of a field with this annotation.

    Raises:
        TypeError: neither the type nor its annotations determine a codec.
    """
    kind, notes, has_none = _taken_apart(annotation)
    noted = (note for note in notes if isinstance(note, Codec))
    codec = next(noted, None) or _codec_of_type(kind, notes)
    return nullable(codec) if has_none and OPTIONAL not in notes else codec


def _field(attribute: str, annotation: object) -> _Field | None:
    """Return the field of an attribute; None if the attribute is not in the map."""
    _, notes, _ = _taken_apart(annotation)
    if UNWRITTEN in notes or ClassVar in (annotation, get_origin(annotation)):
        return None
    name = next((note.name for note in notes if isinstance(note, Named)), attribute)
    codec = codec_of(annotation)
    return _Field(name, codec.read, codec.write, attribute, OPTIONAL in notes)


def _taken_apart(annotation: object) -> tuple[object, list[object], bool]:
    """Return the bare type, its annotations, and whether None is allowed."""
    notes: list[object] = []
    has_none = False
    while True:
        match get_origin(annotation), get_args(annotation):
            case origin, (inner, *more) if origin is Annotated:
                annotation = inner
                notes += more
            case _, (inner, none) if none is NoneType:
                annotation, has_none = inner, True
            case _:
                return annotation, notes, has_none


def _codec_of_type(kind: object, notes: list[object]) -> Codec[Any]:
    sizes = [note for note in notes if isinstance(note, Items)]
    match get_origin(kind), get_args(kind):
        case None, _ if kind is bool:
            return boolean()
        case None, _ if kind is int:
            return integer()
        case None, _ if isinstance(kind, type) and issubclass(kind, Valued):
            return Codec(kind.from_value, kind.to_value)
        case origin, words if origin is Literal:
            return choice(*words)
        case origin, (item, end) if origin is tuple and end is ... and sizes:
            return listing(codec_of(item), low=sizes[0].low, high=sizes[0].high)
        case origin, (first, second) if origin is tuple and second is not ...:
            return pair(codec_of(first), codec_of(second))
    raise TypeError(f"no codec is known for {kind}: add one to the annotation")
