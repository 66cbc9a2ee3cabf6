"""Which records belong to a topic follows from the set, and indexes follow every change."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.home.home import Home
from node.store import intake
from node.store.intake import INTENT_MS, Quotas
from node.store.store import Store
from protocol.keys import SigningKey, bind
from protocol.record_index import key_of
from protocol.record_kinds import Body, TaskBody
from protocol.records import Record, sign_record
from protocol.topics import all_subscriptions, common_news, family_topic, news_topic, tasks_topic
from tests.protocol.examples import (
    INSIGHT,
    INTENT,
    MANIFEST,
    PATCH,
    PROFILE,
    PROGRAM_MANIFEST,
    RESULT,
    RETRACT,
    START_MS,
    TRANSPORT,
)

KEYS = tuple(SigningKey.from_seed(bytes([number] * 32)) for number in (1, 2))
NOW_MS = START_MS + 3_600_000
TOPICS = all_subscriptions("main", [MANIFEST.id, PROGRAM_MANIFEST.id])
FAMILY = family_topic("main", MANIFEST.id, "cpu")
NEWS = news_topic("main", MANIFEST.id)
OTHER_NEWS = news_topic("main", PROGRAM_MANIFEST.id)


def signed(key: SigningKey, seq: int, body: Body) -> Record:
    return sign_record(key, net="main", seq=seq, prev=None, ts_ms=START_MS + seq * 1_000, body=body)


STEP = signed(KEYS[0], 1, PATCH)
SCREEN = signed(KEYS[0], 2, replace(RESULT, patch=STEP.id, stage="screen"))
CLAIM = signed(KEYS[0], 3, replace(RESULT, patch=STEP.id))
ELSEWHERE = signed(KEYS[1], 0, replace(RESULT, patch=STEP.id, hardware_class="h200-141g"))
NEVER_TRIED = signed(KEYS[1], 1, replace(PATCH, title="never tried"))
PROFILE_RECORD = signed(KEYS[1], 2, replace(PROFILE, binding=bind(TRANSPORT, KEYS[1].public)))
TWICE = (
    signed(KEYS[1], 7, replace(RESULT, stage="screen")),
    signed(KEYS[1], 7, replace(RESULT, stage="screen", note="another")),
    signed(KEYS[1], 7, replace(RESULT, stage="screen", note="a third")),
)
SOME = (
    signed(KEYS[0], 0, TaskBody(manifest=MANIFEST)),
    STEP,
    SCREEN,
    CLAIM,
    ELSEWHERE,
    NEVER_TRIED,
    PROFILE_RECORD,
    *TWICE,
    signed(KEYS[0], 4, RETRACT),
    signed(KEYS[0], 5, INSIGHT),
    signed(KEYS[0], 6, INTENT),
)


@contextmanager
def new_store(quotas: Quotas | None = None) -> Iterator[Store]:
    with TemporaryDirectory() as folder, Store.open(Home(Path(folder) / "home")) as store:
        store.intake.quotas = quotas or Quotas()
        yield store


def take(store: Store, *records: Record) -> None:
    store.intake.ingest([record.wire for record in records], now_ms=NOW_MS)


def topics(store: Store, record: Record) -> set[str]:
    return set(store.topics.of(record.id))


def test_a_patch_belongs_where_the_results_do_that_name_it() -> None:
    with new_store() as store:
        take(store, STEP, NEVER_TRIED)
        assert topics(store, STEP) == set()
        take(store, SCREEN)
        assert topics(store, STEP) == {FAMILY}
        take(store, CLAIM, ELSEWHERE)
        assert topics(store, STEP) == {FAMILY, NEWS, family_topic("main", MANIFEST.id, "cuda-sm90")}
        assert topics(store, NEVER_TRIED) == set()


def test_a_number_signed_twice_is_news_of_every_task() -> None:
    with new_store() as store:
        indexes = store.topics.indexes(TOPICS)
        take(store, TWICE[0])
        assert topics(store, TWICE[0]) == {FAMILY}
        take(store, TWICE[1])
        for record in TWICE[:2]:
            assert topics(store, record) == {FAMILY, common_news("main")}
            for topic in (NEWS, OTHER_NEWS):
                assert key_of(record.ts_ms, record.id) in indexes[topic]
        assert len(indexes[tasks_topic("main")]) == 0


@given(st.permutations(SOME), st.integers(0, len(SOME)))
def test_membership_follows_from_the_set_in_whatever_order_it_came(
    order: list[Record], opened_after: int
) -> None:
    with new_store() as store, new_store() as sorted_store:
        take(store, *order[:opened_after])
        indexes = store.topics.indexes(TOPICS)
        for record in order[opened_after:]:
            take(store, record)
        take(sorted_store, *SOME)
        expected = sorted_store.topics.indexes(TOPICS)
        assert indexes.digests() == expected.digests() == store.topics.indexes(TOPICS).digests()
        assert sum(count for count, _ in indexes.digests().values()) > len(SOME)


@settings(max_examples=15)
@given(st.randoms())
def test_indexes_follow_what_quotas_remove(chance: random.Random) -> None:
    records = [signed(KEYS[0], seq, replace(INSIGHT, message=f"{seq}")) for seq in range(30)]
    chance.shuffle(records)
    with new_store(Quotas(news=10)) as store:
        indexes = store.topics.indexes(TOPICS)
        for record in records:
            take(store, record)
            assert len(indexes[NEWS]) == store.records.count()
        assert len(indexes.had(NEWS)) == 30
        assert indexes.digests() == store.topics.indexes(TOPICS).digests()
        assert set(indexes[NEWS].ids(0, 10)) == {record.id for record in store.records.listed()}


def test_what_is_forgotten_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_MAX_REMEMBERED", 5)
    records = [signed(KEYS[0], seq, replace(INSIGHT, message=f"{seq}")) for seq in range(30)]
    with new_store(Quotas(news=10)) as store:
        indexes = store.topics.indexes(TOPICS)
        take(store, *records)
        assert len(indexes[NEWS]) == 10
        assert len(indexes.had(NEWS)) == 15
        store.intake.quotas = Quotas()
        take(store, records[0])
        assert topics(store, records[0]) == {NEWS}
        assert len(indexes[NEWS]) == 11


def test_an_expired_intent_is_had_and_not_offered() -> None:
    intent = signed(KEYS[0], 0, INTENT)
    with new_store() as store:
        indexes = store.topics.indexes(TOPICS)
        take(store, intent)
        assert len(indexes[FAMILY]) == 1
        store.intake.settle(now_ms=START_MS + INTENT_MS + 1)
        assert (len(indexes[FAMILY]), len(indexes.had(FAMILY))) == (0, 1)


def test_an_author_offers_no_more_of_its_intents_than_others_keep() -> None:
    quotas = Quotas(intent=5)
    with new_store(quotas) as own, new_store(quotas) as other:
        offered, kept = own.topics.indexes(TOPICS), other.topics.indexes(TOPICS)
        for number in range(12):
            intent = own.append_own(KEYS[0], INTENT, ts_ms=START_MS + number)
            take(other, intent)
            assert offered.digests() == kept.digests()
        assert len(offered[FAMILY]) == 5
        for store in (own, other):
            store.intake.settle(now_ms=START_MS + INTENT_MS + 10)
        assert offered.digests() == kept.digests()
        assert len(offered[FAMILY]) == 2
        assert len(own.records.own()) == 12
        own.rebuild()
        own.intake.settle(now_ms=START_MS + INTENT_MS + 10)
        assert own.topics.indexes(TOPICS).digests() == kept.digests()


def test_what_is_rolled_back_was_never_there() -> None:
    with new_store() as store:
        indexes = store.topics.indexes(TOPICS)
        with suppress(ZeroDivisionError), store.transaction():
            store.append_own(KEYS[0], INSIGHT, ts_ms=START_MS)
            assert len(indexes[NEWS]) == 0
            raise ZeroDivisionError
        assert len(indexes[NEWS]) == 0
        store.append_own(KEYS[0], INSIGHT, ts_ms=START_MS)
        assert len(indexes[NEWS]) == 1


def test_a_rebuild_derives_the_same() -> None:
    with new_store() as store:
        take(store, *SOME)
        before = store.topics.indexes(TOPICS).digests()
        store.rebuild()
        assert store.topics.indexes(TOPICS).digests() == before
