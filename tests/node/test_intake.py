"""Whatever arrives, in whatever order: the store keeps the same set and shows the same boards."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.home.clock import EARLY_MS
from node.home.home import Home
from node.maintenance.fsck import examine, repair
from node.store.boards import BoardKey
from node.store.dedupe import BATCH, Deduped
from node.store.extracts import Extract, extract
from node.store.intake import INTENT_MS, Quotas
from node.store.shares import Share
from node.store.store import Store
from protocol.board import board_of
from protocol.encoding import encode
from protocol.errors import Rejected
from protocol.keys import SigningKey
from protocol.record_index import key_of
from protocol.record_kinds import TaskBody, UnknownBody
from protocol.records import Record, parse_record, sign_record
from protocol.topics import news_topic, topics_of
from tests.protocol.examples import AUTHOR, INTENT, MANIFEST, REPORT, START_MS, VARIANTS
from tests.protocol.worlds import (
    CLASS,
    KEYS,
    TREES,
    UNKNOWN_AUTHOR,
    World,
    adopt,
    confirm,
    rerun,
    retract,
    worlds,
)

KEY = BoardKey(net="main", task=MANIFEST.id, hardware_class=CLASS)
NOW_MS = START_MS + 60_000
STEADY = (100_000_000, 101_000_000, 99_000_000, 100_000_000)
ANNOUNCEMENT = sign_record(
    AUTHOR, net="main", seq=0, prev=None, ts_ms=START_MS, body=TaskBody(manifest=MANIFEST)
)


@contextmanager
def new_store(quotas: Quotas | None = None) -> Iterator[Store]:
    """Open a new store in a folder of its own."""
    with TemporaryDirectory() as folder, Store.open(Home(Path(folder) / "home")) as store:
        store.intake.quotas = quotas or Quotas()
        yield store


@pytest.fixture
def store() -> Iterator[Store]:
    with new_store() as store:
        yield store


def read(deduped: Deduped) -> list[Extract | Rejected]:
    """Return the records that a reader without tasks gets."""
    return [extract(wire, lambda _: None) for wire in deduped.unread]


def ids(store: Store) -> set[bytes]:
    """Return the ids of all that is kept."""
    return {record.id for record in store.records.listed()}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.data())
def test_a_store_shows_the_board_of_its_set_whatever_the_order(
    records: list[Record], data: st.DataObject
) -> None:
    everything = [ANNOUNCEMENT, *records]
    order = data.draw(st.permutations(everything))
    order += data.draw(st.lists(st.sampled_from(everything), max_size=4))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=3)))
    expected = board_of(everything, MANIFEST, CLASS)
    with new_store() as store:
        for start, end in itertools.pairwise([0, *cuts, len(order)]):
            # Another reader of some records may or may not have known the task; the store did not.
            manifest_of = data.draw(st.sampled_from([{MANIFEST.id: MANIFEST}.get, lambda _: None]))
            stretch = [extract(record.wire, manifest_of) for record in order[start:end]]
            store.intake.take(stretch, now_ms=NOW_MS)
            if data.draw(st.booleans()) and store.records.manifest(MANIFEST.id):
                store.boards.get(KEY)  # made early, it must not stay
        assert store.boards.get(KEY) == expected
        assert store.boards.get(KEY) == expected, "kept"
        assert store.boards.get(KEY, 2).rows == expected.rows[:2]
        store.rebuild()
        assert store.boards.get(KEY) == expected


def test_a_reader_next_to_the_writer_shows_the_same_board(tmp_path: Path) -> None:
    home, world = Home(tmp_path / "home"), World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    with Store.open(home) as store, Store.open_read_only(home) as reader:
        store.intake.ingest([ANNOUNCEMENT.wire, world.records[0].wire], now_ms=NOW_MS)
        stale = reader.boards.get(KEY)
        assert stale == store.boards.get(KEY) == reader.boards.get(KEY)
        assert reader.boards.get(KEY, 0).rows == ()
        assert [row.tree for row in stale.rows] == [TREES[0]]
        world.say(KEYS[0], retract(world.records[0].id))
        store.intake.ingest([world.records[1].wire], now_ms=NOW_MS)
        assert reader.boards.get(KEY).rows == ()


def test_a_report_is_kept_and_rebuilds_no_board(store: Store) -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    store.intake.ingest([ANNOUNCEMENT.wire, world.records[0].wire], now_ms=NOW_MS)
    before, version = store.boards.get(KEY), store.boards.version(KEY)
    report = world.say(KEYS[0], replace(REPORT, hardware_class=CLASS))
    assert store.intake.ingest([world.records[1].wire], now_ms=NOW_MS).new == [report.id]
    assert store.boards.version(KEY) == version
    assert store.boards.get(KEY) == before


def test_any_flipped_byte_is_rejected(store: Store) -> None:
    wire = World().say(KEYS[0], adopt(TREES[0])).wire
    broken = [wire[:at] + bytes([wire[at] ^ 1]) + wire[at + 1 :] for at in range(len(wire))]
    report = store.intake.ingest(broken, now_ms=NOW_MS)
    assert (len(report.rejected), report.new, ids(store)) == (len(wire), [], set())
    assert isinstance(parse_record(broken[0]), Rejected)


def test_replays_are_no_ops(store: Store) -> None:
    world = World()
    world.say(KEYS[0], adopt(TREES[0]))
    wires = [record.wire for record in world.records]
    assert len(store.intake.ingest(wires, now_ms=NOW_MS).new) == 1
    again = store.intake.ingest(wires * 3, now_ms=NOW_MS)
    assert (again.duplicates, again.new, again.rejected) == (3, [], [])


def test_another_networks_records_stay_out(store: Store) -> None:
    record = sign_record(
        UNKNOWN_AUTHOR, net="other", seq=0, prev=None, ts_ms=START_MS, body=adopt(TREES[0])
    )
    report = store.intake.ingest([record.wire], now_ms=NOW_MS)
    assert report.rejected == ["it belongs to the network other, not main"]
    assert ids(store) == set()


def early(minutes: int, seq: int = 0, key: SigningKey = UNKNOWN_AUTHOR) -> Record:
    """Return a record whose time is `minutes` ahead."""
    return sign_record(
        key,
        net="main",
        seq=seq,
        prev=None,
        ts_ms=NOW_MS + minutes * 60_000,
        body=adopt(TREES[0]),
    )


def test_what_is_early_waits_until_its_time_has_come(store: Store) -> None:
    soon, later = early(9), early(30, seq=1)
    report = store.intake.ingest([soon.wire, later.wire], now_ms=NOW_MS)
    assert (report.new, report.quarantined) == ([soon.id], 1)
    assert store.intake.ingest([later.wire], now_ms=NOW_MS).duplicates == 1
    assert store.intake.settle(now_ms=NOW_MS)[1].new == []
    assert store.intake.settle(now_ms=later.ts_ms - EARLY_MS)[1].new == [later.id]
    assert ids(store) == {soon.id, later.id}


def test_of_what_is_early_an_author_has_a_share_and_the_furthest_ahead_goes_first(
    store: Store,
) -> None:
    store.intake.quotas = Quotas(early=Share(records=3, size_bytes=1 << 20))
    flood = [early(minutes, seq=minutes) for minutes in (60, 50, 40, 30, 20)]
    honest = early(90, seq=0, key=KEYS[0])
    report = store.intake.ingest([one.wire for one in [*flood[:2], honest]], now_ms=NOW_MS)
    assert report.quarantined == 3
    report = store.intake.ingest([one.wire for one in flood[2:]], now_ms=NOW_MS)
    assert report.quarantined == 3
    assert store.intake.ingest([flood[0].wire], now_ms=NOW_MS).quarantined == 0
    assert store.intake.settle(now_ms=NOW_MS + 3_600_000)[1].new == [one.id for one in flood[:1:-1]]
    assert store.intake.settle(now_ms=NOW_MS + 5_400_000)[1].new == [honest.id]
    # What made room is welcome when it is no longer early.
    assert store.intake.ingest([flood[0].wire], now_ms=NOW_MS + 5_400_000).new == [flood[0].id]


def test_who_first_brought_a_result_is_kept_with_it_and_of_nothing_else(store: Store) -> None:
    world = World()
    claim, other, answer = (
        world.say(KEYS[0], confirm(TREES[0], STEADY)),
        world.say(KEYS[0], confirm(TREES[1], STEADY)),
        world.say(KEYS[1], rerun(KEYS[1], TREES[0], STEADY, "confirmed")),
    )

    def bring(*records: Record, now_ms: int, neighbour: str | None) -> None:
        read = [extract(one.wire, lambda _: None) for one in records]
        store.intake.take(read, now_ms=now_ms, introducer=neighbour)

    bring(claim, answer, now_ms=NOW_MS, neighbour="one")
    bring(claim, now_ms=NOW_MS, neighbour="two")  # as everybody passes it on
    bring(other, now_ms=other.ts_ms - EARLY_MS - 1, neighbour="two")
    assert not store.records.has(other.id)
    store.intake.settle(now_ms=NOW_MS)
    reported = [store.records.introducer(one.id) for one in (claim, other, answer)]
    assert reported == ["one", "two", None]
    assert store.records.introducer(bytes(32)) is None
    store.rebuild()
    assert store.records.introducer(claim.id) == "one"


def test_of_what_is_early_an_author_has_a_share_in_bytes(store: Store) -> None:
    size = len(early(20).wire)
    store.intake.quotas = Quotas(early=Share(records=100, size_bytes=2 * size + size // 2))
    report = store.intake.ingest([early(20 + n, seq=n).wire for n in range(5)], now_ms=NOW_MS)
    assert report.quarantined == 2


def test_a_full_quarantine_keeps_what_comes_soon_with_any_other_author(store: Store) -> None:
    store.intake.quotas = Quotas(early_in_all=Share(records=20, size_bytes=1 << 20))
    names = [SigningKey.from_seed(number.to_bytes(32, "big")) for number in range(30)]
    a_year = 365 * 24 * 60
    store.intake.ingest([early(a_year, key=key).wire for key in names], now_ms=NOW_MS)
    honest = early(30, key=KEYS[0])
    assert store.intake.ingest([honest.wire], now_ms=NOW_MS).quarantined == 1
    assert store.intake.settle(now_ms=honest.ts_ms)[1].new == [honest.id]


def test_old_intents_are_forgotten(store: Store) -> None:
    record = sign_record(UNKNOWN_AUTHOR, net="main", seq=0, prev=None, ts_ms=START_MS, body=INTENT)
    store.intake.ingest([record.wire], now_ms=NOW_MS)
    assert store.intake.settle(now_ms=START_MS + INTENT_MS)[0] == 0
    assert ids(store) == {record.id}
    late_ms = START_MS + INTENT_MS + 1
    assert store.intake.settle(now_ms=late_ms)[0] == 1
    assert ids(store) == set()
    assert (
        store.intake.ingest([record.wire], now_ms=late_ms).duplicates == 1
    )  # peers may still have it
    with new_store() as other:
        assert other.intake.ingest([record.wire], now_ms=late_ms).expired == 1
        assert ids(other) == set()


def chain(count: int, key: object = UNKNOWN_AUTHOR) -> list[Record]:
    """Return `count` records of one author."""
    world = World()
    for number in range(count):
        world.say(key, adopt(TREES[number % 4]))  # type: ignore[arg-type]
    return world.records


@settings(max_examples=20)
@given(st.permutations(range(12)), st.integers(1, 12))
def test_a_quota_keeps_the_newest_whatever_came_first(order: list[int], quota: int) -> None:
    records = chain(12)
    with new_store(Quotas(news=quota)) as store:
        for number in order:
            store.intake.ingest([records[number].wire], now_ms=NOW_MS)
        assert ids(store) == {record.id for record in records[-quota:]}
        # What was refused is not asked for again.
        again = store.intake.ingest([record.wire for record in records], now_ms=NOW_MS)
        assert (again.duplicates, again.new, again.over_quota) == (12, [], 0)
        # Nor does it come up when two nodes reconcile.
        news = news_topic("main", MANIFEST.id)
        index = store.topics.indexes([news]).had(news)
        assert all(key_of(record.ts_ms, record.id) in index for record in records)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.integers(1, 4))
def test_the_board_is_that_of_what_a_quota_left(records: list[Record], quota: int) -> None:
    with new_store(Quotas(news=quota)) as store:
        store.intake.ingest([one.wire for one in [ANNOUNCEMENT, *records]], now_ms=NOW_MS)
        left = store.records.listed()
        assert store.boards.get(KEY) == board_of(left, MANIFEST, CLASS)
        store.rebuild()
        assert store.boards.get(KEY) == board_of(left, MANIFEST, CLASS)


def test_a_retraction_that_was_displaced_takes_back_nothing(store: Store) -> None:
    store.intake.quotas = Quotas(news=1)
    world = World()
    claim = world.say(UNKNOWN_AUTHOR, confirm(TREES[0], STEADY), seq=5)
    earlier = world.say(UNKNOWN_AUTHOR, retract(claim.id), seq=0)
    store.intake.ingest([ANNOUNCEMENT.wire, earlier.wire, claim.wire], now_ms=NOW_MS)
    assert ids(store) == {ANNOUNCEMENT.id, claim.id}
    assert store.boards.get(KEY) == board_of(store.records.listed(), MANIFEST, CLASS)
    assert [row.tree for row in store.boards.get(KEY).rows] == [TREES[0]]


def test_a_task_is_known_as_long_as_one_announcement_is_here(store: Store) -> None:
    store.intake.quotas = Quotas(news=1)
    world = World()
    first = world.say(UNKNOWN_AUTHOR, TaskBody(manifest=MANIFEST))
    claim = world.say(KEYS[0], confirm(TREES[0], STEADY))
    store.intake.ingest([first.wire, ANNOUNCEMENT.wire, claim.wire], now_ms=NOW_MS)
    displacing = world.say(UNKNOWN_AUTHOR, adopt(TREES[0]))
    store.intake.ingest([displacing.wire], now_ms=NOW_MS)
    assert ids(store) == {ANNOUNCEMENT.id, claim.id, displacing.id}
    assert store.records.task_record(MANIFEST.id) == ANNOUNCEMENT.id


def test_one_authors_quota_is_not_anothers(store: Store) -> None:
    store.intake.quotas = Quotas(news=2)
    ours, theirs = chain(2, KEYS[0]), chain(5, KEYS[1])
    report = store.intake.ingest([one.wire for one in [*ours, *theirs]], now_ms=NOW_MS)
    assert (len(report.new), report.over_quota) == (7, 0)  # each newer one displaced an older one
    assert ids(store) == {one.id for one in [*ours, *theirs[-2:]]}


def test_unknown_kinds_are_kept_under_a_small_quota(store: Store) -> None:
    store.intake.quotas = Quotas(unknown=3)
    records = [
        sign_record(
            UNKNOWN_AUTHOR,
            net="main",
            seq=seq,
            prev=None,
            ts_ms=START_MS,
            body=UnknownBody(kind="prophecy", encoded=b"\x80"),
        )
        for seq in range(5)
    ]
    store.intake.ingest([record.wire for record in records], now_ms=NOW_MS)
    assert ids(store) == {record.id for record in records[2:]}


def test_what_nobody_knows_yet_is_kept_belongs_somewhere_and_counts_for_nothing(
    store: Store,
) -> None:
    world = World()
    claim = world.say(KEYS[0], confirm(TREES[0], STEADY, anchors=STEADY))
    store.intake.ingest([ANNOUNCEMENT.wire, claim.wire], now_ms=NOW_MS)
    before = store.boards.get(KEY).rows
    dreamt = replace(rerun(KEYS[1], TREES[0], STEADY, "confirmed"), verdict="dreamt")
    rehearsed = replace(confirm(TREES[1], STEADY, anchors=STEADY), stage="rehearsal")
    shadows = replace(confirm(TREES[2], STEADY), status="frozen")
    later = [
        world.say(KEYS[1], dreamt),
        world.say(KEYS[2], rehearsed),
        world.say(KEYS[2], shadows),
        *(
            sign_record(AUTHOR, net="main", seq=9 + at, prev=None, ts_ms=START_MS, body=body)
            for at, body in enumerate(VARIANTS.values())
        ),
    ]
    report = store.intake.ingest([one.wire for one in later], now_ms=NOW_MS)
    assert (len(report.new), report.rejected, report.over_quota) == (len(later), [], 0)
    assert ids(store) == {ANNOUNCEMENT.id, claim.id, *(one.id for one in later)}
    assert all(topics_of(one) for one in later if one.kind != "patch")
    assert store.boards.get(KEY).rows == before


def prophecies(count: int, key: SigningKey = UNKNOWN_AUTHOR, size_bytes: int = 10) -> list[Record]:
    """Return `count` records of an unknown kind."""
    body = UnknownBody(kind="prophecy", encoded=encode({"text": "x" * size_bytes}))
    return [
        sign_record(key, net="main", seq=seq, prev=None, ts_ms=START_MS, body=body)
        for seq in range(count)
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_unknown_kinds_are_kept_within_so_many_bytes_of_an_author(store: Store, order: int) -> None:
    records = prophecies(5, size_bytes=1_000)
    size = len(records[0].wire)
    store.intake.quotas = Quotas(unknown_bytes=3 * size)
    for record in records[::order]:
        store.intake.ingest([record.wire], now_ms=NOW_MS)
    assert ids(store) == {record.id for record in records[2:]}
    other = prophecies(2, KEYS[0], size_bytes=1_000)
    store.intake.ingest([record.wire for record in other], now_ms=NOW_MS)
    assert len(ids(store)) == 5


def test_unknown_kinds_of_many_names_leave_room_for_those_with_few(store: Store) -> None:
    store.intake.quotas = Quotas(unknown=5, unknown_in_all=20)
    few, known = prophecies(2, KEYS[0]), chain(5, KEYS[1])
    store.intake.ingest([record.wire for record in [*few, *known]], now_ms=NOW_MS)
    for number in range(10):
        flood = prophecies(5, SigningKey.from_seed(number.to_bytes(32, "big")))
        store.intake.ingest([record.wire for record in flood], now_ms=NOW_MS)
    left = ids(store)
    assert {record.id for record in [*few, *known]} <= left
    assert len(left) <= 20 + len(known)


def test_own_records_are_nobodys_to_evict(store: Store) -> None:
    store.intake.quotas = Quotas(news=2, total=4)
    own = [store.append_own(AUTHOR, adopt(TREES[0]), ts_ms=NOW_MS + n) for n in range(6)]
    store.intake.ingest([record.wire for record in chain(3)], now_ms=NOW_MS)
    assert {record.id for record in own} <= ids(store)


def test_who_was_confirmed_here_has_more_room(store: Store) -> None:
    store.intake.quotas = Quotas(news=3)
    world = World()
    claim = world.say(UNKNOWN_AUTHOR, confirm(TREES[0], STEADY))
    store.intake.ingest([ANNOUNCEMENT.wire, claim.wire], now_ms=NOW_MS)
    answer = rerun(AUTHOR, TREES[0], STEADY, "confirmed", target=claim.id)
    store.append_own(AUTHOR, answer, ts_ms=NOW_MS)
    for number in range(10):
        world.say(UNKNOWN_AUTHOR, adopt(TREES[number % 4]))
    store.intake.ingest([record.wire for record in world.records], now_ms=NOW_MS)
    assert {record.id for record in world.records} <= ids(store)


def test_a_full_store_takes_from_the_largest_author(store: Store) -> None:
    store.intake.quotas = Quotas(total=20)
    few, many = chain(5, KEYS[0]), chain(30, KEYS[1])
    store.intake.ingest([record.wire for record in few], now_ms=NOW_MS)
    store.intake.ingest([record.wire for record in many], now_ms=NOW_MS)
    left = ids(store)
    assert len(left) <= 20
    assert {record.id for record in few} <= left
    assert {record.id for record in many[-14:]} <= left


def test_the_proof_of_an_equivocation_is_not_evicted(store: Store) -> None:
    store.intake.quotas = Quotas(news=3)
    world = World()
    world.say(UNKNOWN_AUTHOR, adopt(TREES[0]))
    world.say(UNKNOWN_AUTHOR, adopt(TREES[1]), seq=0)
    for number in range(8):
        world.say(UNKNOWN_AUTHOR, adopt(TREES[number % 4]), seq=number + 1)
    store.intake.ingest([record.wire for record in world.records], now_ms=NOW_MS)
    assert {record.id for record in world.records[:2]} <= ids(store)


@pytest.mark.parametrize("order", [1, -1])
def test_a_revocation_stays_whatever_came_first(store: Store, order: int) -> None:
    """A key thief must not displace its revocation with newer records."""
    store.intake.quotas = Quotas(news=2)
    world = World()
    revocation = world.say(UNKNOWN_AUTHOR, retract(None), seq=0)
    claims = [
        world.say(UNKNOWN_AUTHOR, confirm(tree, STEADY), seq=9 + n) for n, tree in enumerate(TREES)
    ]
    store.intake.ingest([ANNOUNCEMENT.wire], now_ms=NOW_MS)
    for record in [revocation, *claims][::order]:
        store.intake.ingest([record.wire], now_ms=NOW_MS)
    assert revocation.id in ids(store)
    assert store.boards.get(KEY).rows == ()


def test_the_second_half_of_a_proof_is_taken_in_over_the_quota(store: Store) -> None:
    store.intake.quotas = Quotas(news=2)
    world = World()
    records = [
        world.say(UNKNOWN_AUTHOR, adopt(TREES[0]), seq=8),
        world.say(UNKNOWN_AUTHOR, adopt(TREES[1]), seq=9),
        world.say(UNKNOWN_AUTHOR, adopt(TREES[2]), seq=8),
    ]
    for record in records:
        store.intake.ingest([record.wire], now_ms=NOW_MS)
    assert ids(store) == {record.id for record in records}


def test_a_size_breaks_a_tie(store: Store) -> None:
    world = World()
    world.say(KEYS[0], confirm(TREES[0], STEADY, size=900))
    world.say(KEYS[1], replace(confirm(TREES[1], STEADY), size_bytes=800))
    wires = [ANNOUNCEMENT.wire, *(record.wire for record in world.records)]
    store.intake.ingest(wires, now_ms=NOW_MS)
    assert [(row.tree, row.tie) for row in store.boards.get(KEY).rows] == [
        (TREES[1], True),
        (TREES[0], True),
    ]


def test_a_board_that_was_tampered_with_is_found_and_made_again(tmp_path: Path) -> None:
    home, world = Home(tmp_path / "home"), World()
    world.say(KEYS[0], confirm(TREES[0], STEADY))
    with Store.open(home) as store:
        store.intake.ingest([ANNOUNCEMENT.wire, world.records[0].wire], now_ms=NOW_MS)
        whole = store.boards.get(KEY)
        assert examine(home) == []
        store.database.rows("DELETE FROM board_row")
    (problem,) = examine(home)
    assert "the leaderboard of task" in problem
    with home.lock():
        repair(home)
    assert examine(home) == []
    with Store.open_read_only(home) as store:
        assert store.boards.get(KEY) == whole


def test_a_record_with_a_flipped_bit_is_found_and_left_behind(tmp_path: Path) -> None:
    home, records = Home(tmp_path / "home"), chain(3)
    with Store.open(home) as store:
        store.intake.ingest([ANNOUNCEMENT.wire, *(one.wire for one in records)], now_ms=NOW_MS)
        wire = bytearray(records[1].wire)
        wire[-1] ^= 1  # of the signature: its id stays the same
        store.database.rows("UPDATE record SET wire = ? WHERE id = ?", (wire, records[1].id))
    (problem,) = examine(home)
    assert f"record {records[1].id.hex()[:12]} cannot be read: " in problem
    with home.lock():
        repair(home)
    assert examine(home) == []
    with Store.open_read_only(home) as store:
        assert ids(store) == {ANNOUNCEMENT.id, records[0].id, records[2].id}


def test_what_came_while_it_was_read_is_a_duplicate(store: Store) -> None:
    wire = World().say(KEYS[0], adopt(TREES[0])).wire
    one, other = (read(store.intake.dedupe([wire])) for _ in range(2))
    assert len(store.intake.take(one, now_ms=NOW_MS).new) == 1
    late = store.intake.take(other, now_ms=NOW_MS)
    assert (late.new, late.duplicates) == ([], 1)


def test_of_any_number_of_ids_those_that_are_here_are_known(store: Store) -> None:
    record = World().say(KEYS[0], adopt(TREES[0]))
    store.intake.ingest([record.wire], now_ms=NOW_MS)
    others = [number.to_bytes(32, "big") for number in range(2 * BATCH + 1)]
    assert store.intake.lacking([*others, record.id]) == others


def test_copies_of_one_record_are_distinguished_by_their_signatures(store: Store) -> None:
    wire = World().say(KEYS[0], adopt(TREES[0])).wire
    bad = wire[:-1] + bytes([wire[-1] ^ 1])
    deduped = store.intake.dedupe([bad, wire, wire, bad])
    assert (deduped.unread, deduped.duplicates) == ([bad, wire], 2)
    bad_one, good_one = read(deduped)
    report = store.intake.take([bad_one, good_one, good_one], now_ms=NOW_MS)
    assert (len(report.new), report.duplicates, len(report.rejected)) == (1, 1, 1)


def test_only_what_others_made_waits_for_no_disk(tmp_path: Path) -> None:
    home, world = Home(tmp_path / "home"), World()
    world.say(KEYS[0], adopt(TREES[0]))
    with Store.open(home) as store:
        database, full = store.database, [(2,)]
        levels: list[int] = []
        database._connection.set_trace_callback(
            lambda statement: (
                levels.append(2 if "FULL" in statement else 1)
                if "synchronous = " in statement
                else None
            )
        )
        store.intake.ingest([ANNOUNCEMENT.wire, world.records[0].wire], now_ms=NOW_MS)
        assert levels == [1, 2]
        assert database.rows("PRAGMA synchronous") == full
        with pytest.raises(ZeroDivisionError), database.loose_transaction():
            raise ZeroDivisionError
        assert database.rows("PRAGMA synchronous") == full
        levels.clear()
        store.append_own(KEYS[1], adopt(TREES[1]), ts_ms=NOW_MS)
        assert levels == []
