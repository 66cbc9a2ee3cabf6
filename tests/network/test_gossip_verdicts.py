"""Gossip is passed on, ignored or refused; unknown kinds have bounded room."""

import dataclasses
from typing import Any

import pytest

from node.home.addresses import PeerId
from node.home.clock import EARLY_MS
from node.network.gossip_verdicts import (
    EARLY,
    EXPIRED,
    LONG,
    MANY,
    NO_RECORD,
    OTHER_NETWORK,
    OTHER_TOPIC,
    PASSED_ON,
    UNKNOWN_BYTES,
    UNKNOWN_OF_AUTHOR,
    UNKNOWN_OF_FORWARDER,
    GossipJudge,
    MessageFate,
)
from protocol.encoding import encode
from protocol.hardware import FAMILIES, family_of
from protocol.keys import SigningKey, bind
from protocol.record_kinds import Body, TaskBody, UnknownBody
from protocol.records import sign_record
from protocol.topics import family_topic, news_topic, tasks_topic
from tests.peering.members import Clock
from tests.protocol.examples import (
    AUTHOR,
    INSIGHT,
    INTENT,
    MANIFEST,
    PATCH,
    PROFILE,
    RESULT,
    START_MS,
    TRANSPORT,
)

NOW_MS = START_MS + 1_000
PEER, OTHER = PeerId("peer"), PeerId("other")
TASK = MANIFEST.id
NEWS = news_topic("main", TASK)
OWN = family_topic("main", TASK, family_of(RESULT.hardware_class))
OTHER_FAMILY = next(
    family_topic("main", TASK, one) for one in FAMILIES if one != family_of(RESULT.hardware_class)
)
OTHER_TASK = bytes(32)
SCREEN = dataclasses.replace(RESULT, stage="screen")
CONFIRM = dataclasses.replace(RESULT, stage="confirm")


class Scene:
    def __init__(self) -> None:
        self.clock, self.now_ms = Clock(), NOW_MS
        self._judge = GossipJudge(self.clock, lambda: self.now_ms)

    def judge(self, topic: str, wire: bytes, peer: PeerId = PEER) -> MessageFate:
        return self._judge.judge(topic, peer, wire)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def said(body: Body, *, key: SigningKey = AUTHOR, seq: int = 0, **changes: Any) -> bytes:
    fields: dict[str, Any] = {"net": "main", "ts_ms": START_MS} | changes
    return sign_record(key, seq=seq, prev=None, body=body, **fields).wire


def unknown(size_bytes: int = 0) -> UnknownBody:
    """A body of an unknown kind, for a record of about this size."""
    return UnknownBody(kind="prophecy", encoded=encode({"text": "x" * size_bytes}))


@pytest.mark.parametrize(
    ("body", "topics"),
    [
        (TaskBody(manifest=MANIFEST), {tasks_topic("main")}),
        (SCREEN, {OWN}),
        (CONFIRM, {OWN, NEWS}),
        (INTENT, {family_topic("main", TASK, family_of(INTENT.hardware_class))}),
        (INSIGHT, {NEWS}),
        (dataclasses.replace(PROFILE, binding=bind(TRANSPORT, AUTHOR.public)), {NEWS}),
        # It belongs where the results belong that name it, which it does not know.
        (PATCH, {NEWS, *(family_topic("main", TASK, one) for one in FAMILIES)}),
        (dataclasses.replace(INSIGHT, task=OTHER_TASK), {news_topic("main", OTHER_TASK)}),
    ],
    ids=["task", "screen", "confirm", "intent", "insight", "profile", "patch", "another task's"],
)
def test_a_record_is_passed_on_in_the_topics_that_it_belongs_to(
    scene: Scene, body: Body, topics: set[str]
) -> None:
    everywhere = {tasks_topic("main")} | {
        topic
        for task in (TASK, OTHER_TASK)
        for topic in (news_topic("main", task), *(family_topic("main", task, f) for f in FAMILIES))
    }
    wire = said(body)
    fates = {topic: scene.judge(topic, wire) for topic in everywhere}
    if body is not INSIGHT and not isinstance(body, UnknownBody) and "binding" in dir(body):
        topics = topics | {news_topic("main", OTHER_TASK)}  # about no one task
    assert {topic for topic, fate in fates.items() if fate == PASSED_ON} == topics
    assert {fate for topic, fate in fates.items() if topic not in topics} <= {OTHER_TOPIC}


def test_another_networks_record_is_ignored_and_counts_for_ten(scene: Scene) -> None:
    assert scene.judge(NEWS, said(INSIGHT, net="other")) == OTHER_NETWORK
    assert OTHER_NETWORK.strays == 10 * OTHER_TOPIC.strays
    assert scene.judge(news_topic("other", TASK), said(INSIGHT, net="other")) == PASSED_ON


def test_what_is_no_record_is_a_fault(scene: Scene) -> None:
    wire = said(INSIGHT)
    assert scene.judge(NEWS, wire[:-1] + bytes([wire[-1] ^ 1])) == NO_RECORD
    assert scene.judge(NEWS, b"") == NO_RECORD


@pytest.mark.parametrize("ahead_ms", [EARLY_MS + 1, 365 * 86_400_000])
def test_what_is_early_is_passed_on_once_its_time_has_come(scene: Scene, ahead_ms: int) -> None:
    for body in (INSIGHT, unknown()):
        wire = said(body, ts_ms=NOW_MS + ahead_ms)
        scene.now_ms = NOW_MS
        assert scene.judge(NEWS, wire) == EARLY
        scene.now_ms = NOW_MS + ahead_ms - EARLY_MS
        assert scene.judge(NEWS, wire) == PASSED_ON


def test_an_intent_is_passed_on_until_it_has_expired_by_any_clock(scene: Scene) -> None:
    topic, wire = family_topic("main", TASK, family_of(INTENT.hardware_class)), said(INTENT)
    scene.now_ms = START_MS + INTENT.ttl_s * 1_000 + EARLY_MS
    assert scene.judge(topic, wire) == PASSED_ON
    scene.now_ms += 1
    assert scene.judge(topic, wire) == EXPIRED
    assert scene.judge(NEWS, said(INSIGHT)) == PASSED_ON, "nothing else expires"


def test_an_unknown_kind_is_passed_on_anywhere_if_it_is_short(scene: Scene) -> None:
    around = len(said(unknown()))
    longest = said(unknown(UNKNOWN_BYTES - around - 3))  # the text's and payload's lengths grow
    assert len(longest) == UNKNOWN_BYTES
    for topic in (NEWS, OWN, tasks_topic("main")):
        assert scene.judge(topic, longest) == PASSED_ON
    assert scene.judge(NEWS, said(unknown(UNKNOWN_BYTES - around - 2))) == LONG
    assert scene.judge(NEWS, said(unknown(15_000))) == LONG
    assert not LONG.strays, "who knows the kind is not to blame"


def test_of_an_author_so_many_of_unknown_kinds_are_passed_on(scene: Scene) -> None:
    other = SigningKey.from_seed(bytes(range(1, 33)))
    burst = int(UNKNOWN_OF_AUTHOR.burst)
    for seq in range(burst):
        assert scene.judge(NEWS, said(unknown(), seq=seq)) == PASSED_ON
    assert scene.judge(NEWS, said(unknown(), seq=burst)) == MANY
    assert not MANY.strays
    assert scene.judge(NEWS, said(unknown(), key=other)) == PASSED_ON
    assert scene.judge(NEWS, said(INSIGHT, seq=burst)) == PASSED_ON, "known ones do not count"
    scene.clock.now_s += 1 / UNKNOWN_OF_AUTHOR.per_s
    assert scene.judge(NEWS, said(unknown(), seq=burst)) == PASSED_ON
    assert scene.judge(NEWS, said(unknown(), seq=burst + 1)) == MANY


def test_of_a_forwarder_so_many_of_unknown_kinds_are_passed_on(scene: Scene) -> None:
    burst = int(UNKNOWN_OF_FORWARDER.burst)
    authors = [SigningKey.from_seed(number.to_bytes(32, "big")) for number in range(burst + 1)]
    for key in authors[:-1]:
        assert scene.judge(NEWS, said(unknown(), key=key)) == PASSED_ON
    last = said(unknown(), key=authors[-1])
    assert scene.judge(NEWS, last) == MANY
    assert scene.judge(NEWS, last, OTHER) == PASSED_ON
