"""Which records belong to which topics (protocol/topics.py), kept as they come and go.

`membership` is a log as well: each change gets a new number, so that an index in memory catches
up by reading on from the last one it saw (`TopicIndexes`). What was refused or removed stays a
member that is not held, for as long as its id is remembered: it counts as had by whoever asks
for more, and is offered to nobody.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import merge
from itertools import groupby

from node.store.database import Database
from node.store.extracts import Extract
from node.store.records import Bearer
from protocol.record_index import RecordIndex, key_of
from protocol.topics import common_news, parts_of

_ID_BYTES = 32
_MODULUS = 1 << 256
_RECENT = 256  # of a topic's sets


class TopicIndex:
    """A topic's index with its digest, kept beside it: peers are told it more often than asked."""

    def __init__(self, index: RecordIndex) -> None:
        self.index = index
        self._count, summed = index.digest()
        self._sum = int.from_bytes(summed, "little")
        self._recent = deque[tuple[int, bytes]](maxlen=_RECENT)

    def change(self, key: bytes, *, held: bool) -> None:
        """Let a record's key (protocol/record_index.py) be in it, or not."""
        self._recent.append(self.digest())
        number = int.from_bytes(key[-_ID_BYTES:], "little")
        if held and self.index.add(key):
            self._count, self._sum = self._count + 1, self._sum + number
        elif not held and self.index.discard(key):
            self._count, self._sum = self._count - 1, self._sum - number

    def digest(self) -> tuple[int, bytes]:
        """Return count and sum of the ids (`RecordIndex.digest`)."""
        return self._count, (self._sum % _MODULUS).to_bytes(_ID_BYTES, "little")

    def was(self, digest: tuple[int, bytes]) -> bool:
        """Say whether this was the digest lately."""
        return digest in self._recent


class TopicIndexes:
    """The index of each of some topics, in memory, of what is here: what peers are offered."""

    def __init__(self, database: Database, last: int, topics: Iterable[str]) -> None:
        self._database = database
        # By part: the common news are part of several topics.
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
        """Which topics these are."""
        return tuple(self._topics)

    def __getitem__(self, topic: str) -> RecordIndex:
        """Return a topic's index as of now; it changes with the store."""
        self._catch_up()
        return self._topics[topic].index

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    def digests(self) -> Mapping[str, tuple[int, bytes]]:
        """Return count and sum of the ids of each topic (`RecordIndex.digest`)."""
        self._catch_up()
        return {topic: indexed.digest() for topic, indexed in self._topics.items()}

    def was(self, topic: str, digest: tuple[int, bytes]) -> bool:
        """Say whether a topic's set had this digest lately: whoever has that set only lacks some.

        While records are on their way, every other peer does.
        """
        return self._topics[topic].was(digest)

    def had(self, topic: str) -> RecordIndex:
        """Return a new index of what is here and of what is not wanted: all that is not to come.

        Asked with only what is here, peers would offer the rest again in every round.
        """
        index = self[topic].copy()
        for part in parts_of(topic):
            for ts_ms, record_id in self._database.rows(
                "SELECT ts_ms, id FROM membership WHERE topic = ? AND NOT held", (part,)
            ):
                index.add(key_of(ts_ms, record_id))
        return index

    def _catch_up(self) -> None:
        if self._database.is_writing:  # what may yet be rolled back did not happen
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
        """Return the sorted keys of what is here, by part; one reading serves all of them."""
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
    """Which records belong where."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def indexes(self, topics: Iterable[str]) -> TopicIndexes:
        """Return the indexes of these topics, which follow every change of what is here."""
        return TopicIndexes(self._database, self.last_number(), tuple(topics))

    def derive(self, one: Extract) -> None:
        """Note where a record belongs that was just stored, and what belongs there by it."""
        self._enter(one, held=True)
        if one.patch is not None:
            for (ts_ms,) in self._database.rows(
                "SELECT ts_ms FROM record WHERE id = ? AND kind = 'patch' AND net = ?",
                (one.patch, one.net),
            ):
                self._put(one.topics, one.patch, ts_ms, held=True)

    def note_equivocation(self, new: Extract, twins: Sequence[Bearer]) -> None:
        """Note that those of one number are news once a network has two of them.

        One without the other proves nothing, and whoever reads this author's news needs the proof.
        """
        same = [one for one in twins if one.net == new.net]
        if len(same) > 1:
            for one in same:
                self._put((common_news(new.net),), one.id, one.ts_ms, held=True)

    def note_refused(self, one: Extract) -> None:
        """Note where a record would belong that is not kept."""
        self._enter(one, held=False)

    def note_removed(self, record_id: bytes) -> None:
        """Note that a record that is going to be removed is held no longer."""
        rows = self._database.rows("SELECT topic, ts_ms FROM membership WHERE id = ?", (record_id,))
        self._database.rows("DELETE FROM membership WHERE id = ?", (record_id,))
        for topic, ts_ms in rows:
            self._put((topic,), record_id, ts_ms, held=False)

    def forget(self, record_id: bytes) -> None:
        """Forget an id that was refused, which is now anybody's to offer again."""
        self._database.rows("DELETE FROM membership WHERE id = ? AND NOT held", (record_id,))

    def forget_all(self) -> None:
        """Drop what follows from the records that are here: it is about to be derived anew."""
        self._database.rows("DELETE FROM membership WHERE held")

    def of(self, record_id: bytes) -> list[str]:
        """Return where a record that is here belongs."""
        statement = "SELECT topic FROM membership WHERE id = ? AND held ORDER BY topic"
        return [row[0] for row in self._database.rows(statement, (record_id,))]

    def last_number(self) -> int:
        """Return the number of the latest change."""
        ((number,),) = self._database.rows("SELECT coalesce(max(n), 0) FROM membership")
        return int(number)

    def own_after(self, number: int, *, limit: int) -> list[tuple[int, str, bytes]]:
        """Return the next changes that made own records belong somewhere: number, topic, wire."""
        return self._database.rows(
            "SELECT membership.n, topic, wire FROM membership"
            " JOIN record ON record.id = membership.id"
            " WHERE membership.n > ? AND held AND own ORDER BY membership.n LIMIT ?",
            (number, limit),
        )

    def claimed_before(self, number: int | None, span: int) -> tuple[list[bytes], int | None]:
        """Return the patches that confirmations among so many records are about, the latest first.

        They are those before record `number`, None for the last ones; the second value is where
        to go on, None at the end.
        """
        if number is None:
            ((last,),) = self._database.rows("SELECT coalesce(max(n), 0) FROM record")
            number = int(last) + 1
        # Of results only confirmations count as news.
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
