"""The limit on alerts: one message of each kind in ten minutes, twenty messages in a day.

A file in the home records which alerts were sent and held back. Without it, a node that a service
restarts again and again would report every crash. The file is written in place and never grows, so
that writing succeeds even on a full disk. If it cannot be written, nothing is sent.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast, get_args

from node.running.alert import KINDS, AlertKind

BETWEEN_MS: Final = 10 * 60 * 1000
A_DAY: Final = 20
LAST_FOR_ENDS: Final = 4
"""The number of a day's messages that are reserved for the node's end and a full disk."""

_DAY_MS: Final = 24 * 60 * 60 * 1000
_URGENT: Final = frozenset[AlertKind]({"ended", "disk"})
_SIZE_BYTES: Final = 2048
_log = logging.getLogger("node")


@dataclass(kw_only=True)
class _SentAlerts:
    """The times of the last day's messages, and the number of alerts held back, by kind."""

    sent_ms: list[int] = field(default_factory=list)
    last_ms: dict[AlertKind, int] = field(default_factory=dict)
    held_back: Counter[AlertKind] = field(default_factory=Counter)


class AlertQuota:
    """A limiter that decides which alerts are sent. Its process must have the home's lock.

    Times are those of the wall clock. A recorded time in the future is ignored: the clock was set
    back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def admit(self, kind: AlertKind, now_ms: int) -> Mapping[AlertKind, int] | None:
        """Admit an alert, and return the number of alerts of each kind held back before it.

        Return None if the alert is held back too.
        """
        kept = self._read()
        kept.sent_ms = [ms for ms in kept.sent_ms if 0 <= now_ms - ms < _DAY_MS]
        limit = A_DAY if kind in _URGENT else A_DAY - LAST_FOR_ENDS
        last_ms = kept.last_ms.get(kind)
        is_soon = last_ms is not None and 0 <= now_ms - last_ms < BETWEEN_MS
        if is_soon or len(kept.sent_ms) >= limit:
            kept.held_back[kind] += 1
            self._write(kept)
            return None
        counts = {one: kept.held_back[one] for one in KINDS if kept.held_back[one]}
        kept.sent_ms.append(now_ms)
        kept.last_ms[kind] = now_ms
        kept.held_back.clear()
        return counts if self._write(kept) else None

    def _read(self) -> _SentAlerts:
        """Return the contents of the file; an empty record if it is missing or unreadable."""
        try:
            match json.loads(self._path.read_bytes()):
                case {
                    "v": 1,
                    "sent": list() as sent,
                    "last": dict() as last,
                    "held": dict() as held,
                }:
                    return _SentAlerts(
                        sent_ms=[int(ms) for ms in sent],
                        last_ms={_kind(one): int(ms) for one, ms in last.items()},
                        held_back=Counter({_kind(one): int(count) for one, count in held.items()}),
                    )
        except FileNotFoundError:
            return _SentAlerts()
        except (OSError, ValueError, TypeError) as fault:
            _log.warning("%s cannot be read: counting alerts from zero (%s)", self._path, fault)
        return _SentAlerts()

    def _write(self, kept: _SentAlerts) -> bool:
        """Write the file, and return True if that worked."""
        values = {"v": 1, "sent": kept.sent_ms, "last": kept.last_ms, "held": kept.held_back}
        data = json.dumps(values, separators=(",", ":")).encode().ljust(_SIZE_BYTES)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as fault:
            _log.warning("an alert is not sent: %s cannot be written (%s)", self._path, fault)
            return False
        return True


def _kind(word: str) -> AlertKind:
    if word not in get_args(AlertKind):
        raise ValueError(word)
    return cast("AlertKind", word)
