"""The topics of each record (protocol/topics.py), updated when records are stored or removed.

`membership` is also a log: each change gets a new number. An index in memory (`TopicIndexes`)
catches up by reading from the last number it saw. A record that was refused or removed stays a
member of its topics, marked as not held, as long as its id is remembered. The node neither requests
it from peers nor offers it to them.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import merge
from itertools import groupby

from node.store.database import Database
from node.store.extracts import Extract
from node.store.records import RecordRef
from protocol.record_index import RecordIndex, key_of
from protocol.topics import common_news, parts_of

_ID_BYTES = 32
_MODULUS = 1 << 256
_RECENT = 256  # the number of earlier digests kept for a topic


class TopicIndex:
    """The index of a topic. Its digest is cached, because peers get the digest often."""

    def __init__(self, index: RecordIndex) -> None:
        self.index = index
        self._count, summed = index.digest()
        self._sum = int.from_bytes(summed, "little")
        self._recent = deque[tuple[int, bytes]](maxlen=_RECENT)

    def change(self, key: bytes, *, held: bool) -> None:
        """Add a record's key (protocol/record_index.py) to the index, or remove it."""
        self._recent.append(self.digest())
        number = int.from_bytes(key[-_ID_BYTES:], "little")
        if held and self.index.add(key):
            self._count, self._sum = self._count + 1, self._sum + number
        elif not held and self.index.discard(key):
            self._count, self._sum = self._count - 1, self._sum - number

    def digest(self) -> tuple[int, bytes]:
        """Return the count and the sum of the ids (`RecordIndex.digest`)."""
        return self._count, (self._sum % _MODULUS).to_bytes(_ID_BYTES, "little")

    def was(self, digest: tuple[int, bytes]) -> bool:
        """Return True if the topic had this digest recently."""
        return digest in self._recent


class TopicIndexes:
    """Indexes of some topics in memory, with the held records. The node offers these to peers."""

    def __init__(self, database: Database, last: int, topics: Iterable[str]) -> None:
        self._database = database
        # Indexes by part: the common news records belong to several topics.
        self._of_part: dict[str, list[TopicIndex]] = {}
        self._topics: dict[str, TopicIndex] = {}
        self._last = last
        by_part = self._keys({part for topic in topics for part in parts_of(topic)})
        for topic in topics:
            parts = parts_of(topic)
            keys = merge(*(by_part.get(part, []) for part in parts))
            indexed = TopicIndex(RecordIndex(key for key, _ in groupby(keys)))
            self._topics[topic] = indexed
            for part in parts:
                self._of_part.setdefault(part, []).append(indexed)

    @property
    def topics(self) -> tuple[str, ...]:
        """The indexed topics."""
        return tuple(self._topics)

    def __getitem__(self, topic: str) -> RecordIndex:
        """Return a topic's current index; it changes with the store."""
        self._catch_up()
        return self._topics[topic].index

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    def digests(self) -> Mapping[str, tuple[int, bytes]]:
        """Return the count and the sum of the ids of each topic (`RecordIndex.digest`)."""
        self._catch_up()
        return {topic: indexed.digest() for topic, indexed in self._topics.items()}

    def was(self, topic: str, digest: tuple[int, bytes]) -> bool:
        """Return True if a topic had this digest recently.

        A peer that has this digest lacks only some new records, which is normal while they spread.
        """
        return self._topics[topic].was(digest)

    def had(self, topic: str) -> RecordIndex:
        """Return a new index of the held records, and of those that were refused or removed.

        Without the latter, peers would offer them again in every round.
        """
        index = self[topic].copy()
        for part in parts_of(topic):
            for ts_ms, record_id in self._database.rows(
                "SELECT ts_ms, id FROM membership WHERE topic = ? AND NOT held", (part,)
            ):
                index.add(key_of(ts_ms, record_id))
        return index

    def _catch_up(self) -> None:
        if self._database.is_writing:  # an open transaction may still be rolled back
            return
        for number, topic, ts_ms, record_id, held in self._database.rows(
            "SELECT n, topic, ts_ms, id, held FROM membership WHERE n > ? ORDER BY n",
            (self._last,),
        ):
            self._last = number
            key = key_of(ts_ms, record_id)
            for indexed in self._of_part.get(topic, ()):
                indexed.change(key, held=bool(held))

    def _keys(self, parts: set[str]) -> dict[str, list[bytes]]:
        """Return the sorted keys of the held records of each set in `parts`, with one query."""
        keys: dict[str, list[bytes]] = {}
        for topic, ts_ms, record_id in self._database.stream(
            "SELECT topic, ts_ms, id FROM membership WHERE held"
        ):
            if topic in parts:
                keys.setdefault(topic, []).append(key_of(ts_ms, record_id))
        for some in keys.values():
            some.sort()
        return keys


class Topics:
    """The topics of each record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def indexes(self, topics: Iterable[str]) -> TopicIndexes:
        """Return the indexes of these topics, which follow every change of the store."""
        return TopicIndexes(self._database, self.last_number(), tuple(topics))

    def derive(self, one: Extract) -> None:
        """Store the topics of a record that was just stored, and of the patch that it names."""
        self._enter(one, held=True)
        if one.patch is not None:
            for (ts_ms,) in self._database.rows(
                "SELECT ts_ms FROM record WHERE id = ? AND kind = 'patch' AND net = ?",
                (one.patch, one.net),
            ):
                self._put(one.topics, one.patch, ts_ms, held=True)

    def note_equivocation(self, new: Extract, twins: Sequence[RecordRef]) -> None:
        """Add the records that an author signed with the same sequence number to `common_news`.

        This happens only if several of them are in the new record's network: together they prove
        the equivocation, and every reader of the author's news needs this proof.
        """
        same = [one for one in twins if one.net == new.net]
        if len(same) > 1:
            for one in same:
                self._put((common_news(new.net),), one.id, one.ts_ms, held=True)

    def note_refused(self, one: Extract) -> None:
        """Store the topics of a refused record, as not held."""
        self._enter(one, held=False)

    def note_removed(self, record_id: bytes) -> None:
        """Mark a record that is about to be removed as not held."""
        rows = self._database.rows("SELECT topic, ts_ms FROM membership WHERE id = ?", (record_id,))
        self._database.rows("DELETE FROM membership WHERE id = ?", (record_id,))
        for topic, ts_ms in rows:
            self._put((topic,), record_id, ts_ms, held=False)

    def forget(self, record_id: bytes) -> None:
        """Forget a refused id, so that peers can offer it again."""
        self._database.rows("DELETE FROM membership WHERE id = ? AND NOT held", (record_id,))

    def forget_all(self) -> None:
        """Delete what is derived from held records. The caller derives it again."""
        self._database.rows("DELETE FROM membership WHERE held")

    def of(self, record_id: bytes) -> list[str]:
        """Return the topics of a held record."""
        statement = "SELECT topic FROM membership WHERE id = ? AND held ORDER BY topic"
        return [row[0] for row in self._database.rows(statement, (record_id,))]

    def last_number(self) -> int:
        """Return the number of the latest change."""
        ((number,),) = self._database.rows("SELECT coalesce(max(n), 0) FROM membership")
        return int(number)

    def own_after(self, number: int, *, limit: int) -> list[tuple[int, str, bytes]]:
        """Return the next additions of this node's records to topics: number, topic, wire."""
        return self._database.rows(
            "SELECT membership.n, topic, wire FROM membership"
            " JOIN record ON record.id = membership.id"
            " WHERE membership.n > ? AND held AND own ORDER BY membership.n LIMIT ?",
            (number, limit),
        )

    def claimed_before(self, number: int | None, span: int) -> tuple[list[bytes], int | None]:
        """Search `span` records for promotion trials, and return the patches that they name.

        The records are those before number `number`, or the last ones if it is None. The latest
        patches come first. The second value is the `number` for the next call, None at the end.
        """
        if number is None:
            ((last,),) = self._database.rows("SELECT coalesce(max(n), 0) FROM record")
            number = int(last) + 1
        # Among results, only those of promotion trials are in the category "news".
        statement = (
            "SELECT patch FROM record WHERE n >= ? AND n < ?"
            " AND sort = 'news' AND patch IS NOT NULL ORDER BY n DESC"
        )
        rows = self._database.rows(statement, (number - span, number))
        return list(dict.fromkeys(row[0] for row in rows)), number - span if number > span else None

    def _enter(self, one: Extract, *, held: bool) -> None:
        topics = one.topics
        if one.is_patch:
            rows = self._database.rows(
                "SELECT DISTINCT topic FROM record JOIN membership ON membership.id = record.id"
                " WHERE patch = ? AND topic != ?",
                (one.id, common_news(one.net)),
            )
            prefix = f"/arnode/{one.net}/"
            topics = tuple(row[0] for row in rows if row[0].startswith(prefix))
        self._put(topics, one.id, one.ts_ms, held=held)

    def _put(self, topics: Iterable[str], record_id: bytes, ts_ms: int, *, held: bool) -> None:
        for topic in topics:
            self._database.rows(
                "INSERT INTO membership (topic, ts_ms, id, held) VALUES (?,?,?,?)"
                " ON CONFLICT DO NOTHING",
                (topic, ts_ms, record_id, held),
            )
