"""The versions of the owner's instructions to proposers (`program.md`)."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final

from node.store.jobs import LineKey
from node.store.store import Store, keep, kept_of
from protocol.codecs import binary
from protocol.codecs import single_line as one_line
from protocol.fields import OPTIONAL, Items, Mapped, Named, Natural

_PROGRAM: Final = "program"
_MOST_KEPT: Final = 20
_MOST_BYTES: Final = 64 * 1024  # of one version: longer instructions are never used
_LIMIT_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramVersion(Mapped):
    """A version of the instructions, and the time a proposer first received it.

    `name` is None for the text that the task comes with.
    """

    ts_ms: Annotated[Natural, Named("ts")]
    data: Annotated[bytes, binary(0, _MOST_BYTES)]
    name: Annotated[str | None, one_line(1, 48), OPTIONAL] = None

    @property
    def text(self) -> str:
        """The instructions as text."""
        return self.data.decode("utf-8")

    @property
    def hash(self) -> bytes:
        """The SHA-256 of the instructions. A patch names its instructions by this hash."""
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Versions(Mapped):
    versions: Annotated[tuple[ProgramVersion, ...], Items(0, _MOST_KEPT)]


def program_versions(store: Store, line: LineKey) -> tuple[ProgramVersion, ...]:
    """Return the latest versions, oldest first."""
    kept = kept_of(store, _PROGRAM, line, _Versions, limit_bytes=_LIMIT_BYTES)
    return kept.versions if kept else ()


def keep_program(store: Store, line: LineKey, text: str, *, now_ms: int, name: str = "") -> None:
    """Store instructions that apply from now on, unless they equal the last version.

    If several instructions apply at the same time, each has a different `name`.
    """
    data, versions = text.encode("utf-8"), program_versions(store, line)
    before = [one.data for one in versions if (one.name or "") == name]
    if (before[-1] if before else b"") != data:
        new = ProgramVersion(ts_ms=now_ms, data=data, name=name or None)
        versions = (*versions, new)[-_MOST_KEPT:]
        keep(store, _PROGRAM, line, _Versions(versions=versions))
