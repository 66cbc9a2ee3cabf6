"""What others say of their experiments on a line, in the order in which it came."""

from collections.abc import Callable, Iterator
from typing import Final

from node.store.jobs import LineKey
from node.store.records import Envelope
from node.store.store import Store
from protocol.record_kinds import ResultBody

_LOOKED_BACK: Final = 5_000  # records, at a start
_READ_AT_ONCE: Final = 500


class OthersResults:
    """Reads on in the records whenever it is asked, as far as `is_wanted` says of an author."""

    def __init__(
        self, store: Store, line: LineKey, *, is_wanted: Callable[[bytes], bool] = lambda _: True
    ) -> None:
        self._store = store
        self._line = line
        self._is_wanted = is_wanted
        self._read = max(0, store.records.last_number() - _LOOKED_BACK)

    def new(self) -> Iterator[tuple[Envelope, ResultBody]]:
        """Yield each result that came since, with its record's envelope."""
        records, line = self._store.records, self._line
        while came := records.after(self._read, limit=_READ_AT_ONCE):
            self._read = records.number_of(came[-1].id)
            for one in came:
                if one.kind != ResultBody.kind or one.own or not self._is_wanted(one.author):
                    continue
                body = records.get(one.id).body
                if not isinstance(body, ResultBody):
                    continue
                if (body.task, body.hardware_class) == (line.task, line.hardware_class):
                    yield one, body
