"""Who may read and who may steer: a token for each, and links that are good for one use.

Loopback alone keeps no other user of the machine out. Tokens stay over restarts, so that a program
which was given one goes on; links name a code that is exchanged for a token once, so that what
stands in a terminal's or a browser's history opens nothing.
"""

import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from node.home.files import write_file
from protocol.errors import ConfigurationError

Right: TypeAlias = Literal["read", "steer"]

_TOKEN_BYTES: Final = 32
_CODE_BYTES: Final = 16
_CODE_LIVES_S: Final = 3600.0
_MOST_CODES: Final = 64  # the oldest goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What opens a home's page: to read, and to steer as well."""

    read: str
    steer: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return those of a home, made if there are none. Raises ConfigurationError."""
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return cls.renewed(path)
        try:
            kept = json.loads(text)
            found = cls(read=kept["read"], steer=kept["steer"])
        except (ValueError, KeyError, TypeError) as fault:
            raise ConfigurationError(
                f"{path} does not read", "delete it: a new one is made"
            ) from fault
        if not all(
            isinstance(one, str) and len(one) >= _TOKEN_BYTES for one in (found.read, found.steer)
        ):
            raise ConfigurationError(f"{path} holds no tokens", "delete it: a new one is made")
        return found

    @classmethod
    def renewed(cls, path: Path) -> Self:
        """Make new ones, which shuts out whoever has the ones before."""
        made = cls(
            read=secrets.token_urlsafe(_TOKEN_BYTES), steer=secrets.token_urlsafe(_TOKEN_BYTES)
        )
        write_file(path, json.dumps({"read": made.read, "steer": made.steer}).encode())
        return made

    def of_right(self, right: Right) -> str:
        """Return the token that gives a right."""
        return self.steer if right == "steer" else self.read

    def rights(self, token: str) -> frozenset[Right]:
        """Return what a token gives; nothing for one that is none."""
        given = token.encode()
        if hmac.compare_digest(given, self.steer.encode()):
            return frozenset({"read", "steer"})
        if hmac.compare_digest(given, self.read.encode()):
            return frozenset({"read"})
        return frozenset()


class Codes:
    """Codes of links, each good for one exchange within an hour."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._issued: dict[str, tuple[Right, float]] = {}

    def issue(self, right: Right) -> str:
        """Return a new code."""
        while len(self._issued) >= _MOST_CODES:
            del self._issued[next(iter(self._issued))]
        code = secrets.token_urlsafe(_CODE_BYTES)
        self._issued[code] = right, self._clock_s() + _CODE_LIVES_S
        return code

    def exchange(self, code: str) -> Right | None:
        """Return the right that a code gives, once; None for one that is none, or is over."""
        right, ends_s = self._issued.pop(code, (None, 0.0))
        return right if self._clock_s() < ends_s else None
