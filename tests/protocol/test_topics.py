"""The topics that a record belongs to, and those that a node subscribes to."""

from dataclasses import replace

import pytest

from protocol.codecs import NAME_PATTERN
from protocol.hardware import FAMILIES
from protocol.record_kinds import Body, Stage, UnknownBody
from protocol.records import Record, sign_record
from protocol.topics import (
    MAX_TOPIC,
    all_subscriptions,
    common_news,
    family_topic,
    news_topic,
    parts_of,
    rank_of,
    subscriptions,
    tasks_topic,
    topics_of,
)
from tests.protocol.examples import (
    AUTHOR,
    BODIES,
    MANIFEST,
    PROGRAM_MANIFEST,
    RESULT,
    START_MS,
)

TASK = MANIFEST.id
DIGITS = TASK.hex()[:16]
FAMILY = f"/arnode/main/{DIGITS}/cpu"
NEWS = f"/arnode/main/{DIGITS}/news"
COMMON = "/arnode/main/news"


def signed(body: Body) -> Record:
    return sign_record(AUTHOR, net="main", seq=0, prev=None, ts_ms=START_MS, body=body)


@pytest.mark.parametrize(
    ("kind", "topics"),
    [
        ("profile", {COMMON}),
        ("task", {"/arnode/main/tasks"}),
        ("patch", set()),
        ("result", {FAMILY, NEWS}),
        ("adopt", {NEWS}),
        ("rerun", {NEWS}),
        ("noise", {FAMILY}),
        ("intent", {FAMILY}),
        ("insight", {NEWS}),
        ("retract", {COMMON}),
        ("report", {NEWS}),
        ("proposals", {NEWS}),
    ],
)
def test_every_kind_has_its_topics(kind: str, topics: set[str]) -> None:
    assert set(topics_of(signed(BODIES[kind]))) == topics


def test_what_no_machine_changes_has_a_topic_of_its_own() -> None:
    fixed = signed(replace(RESULT, hardware_class="any", stage="screen"))
    assert topics_of(fixed) == (family_topic("main", TASK, "any"),)


def test_a_stage_that_nobody_knows_travels_with_its_family() -> None:
    assert topics_of(signed(replace(RESULT, stage="rehearsal"))) == (FAMILY,)


@pytest.mark.parametrize(("stage", "is_news"), [("screen", False), ("keep", True)])
def test_of_results_keeps_and_confirmations_are_news(stage: Stage, is_news: bool) -> None:
    topics = topics_of(signed(replace(RESULT, stage=stage)))
    assert FAMILY in topics
    assert (NEWS in topics) == is_news


def test_a_kind_that_nobody_knows_still_travels() -> None:
    assert topics_of(signed(UnknownBody(kind="poem", encoded=b"\x80"))) == (COMMON,)


def test_common_news_are_part_of_every_tasks_news_and_of_nothing_else() -> None:
    assert parts_of(NEWS) == (NEWS, COMMON)
    assert parts_of(FAMILY) == (FAMILY,)
    assert parts_of("/arnode/main/tasks") == ("/arnode/main/tasks",)
    assert common_news("main") == COMMON


def test_a_node_subscribes_to_its_family_the_news_and_the_tasks() -> None:
    expected = {FAMILY, family_topic("main", TASK, "any"), NEWS, "/arnode/main/tasks"}
    assert set(subscriptions("main", [TASK], "cpu-x86_64")) == expected
    assert subscriptions("main", [], "cpu-x86_64") == (tasks_topic("main"),)


def test_a_bootstrap_node_subscribes_to_every_family_of_its_tasks() -> None:
    tasks = [TASK, PROGRAM_MANIFEST.id]
    topics = all_subscriptions("main", tasks)
    assert len(topics) == len(set(topics)) == 1 + 2 * (1 + len(FAMILIES))
    for task in tasks:
        assert news_topic("main", task) in topics
        assert {family_topic("main", task, family) for family in FAMILIES} <= set(topics)


def test_tasks_are_fetched_before_news_and_those_before_what_families_make() -> None:
    topics = all_subscriptions("main", [TASK, PROGRAM_MANIFEST.id])
    ranked = sorted(topics, key=rank_of)
    assert [topic.rpartition("/")[2] for topic in ranked] == [
        *("tasks", "news", "news"),
        *sorted(FAMILIES) * 2,
    ]


def test_no_topic_is_too_long() -> None:
    assert NAME_PATTERN.endswith("{1,48}")
    assert max(map(len, all_subscriptions("n" * 48, [TASK]))) <= MAX_TOPIC
