"""An insight of a promotion trial is published once, whatever kills the node."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.home import Home
from node.line.experiment import PEER, ExperimentStep
from node.line.idea import Idea
from node.line.promotion_trial import PromotionTrial
from node.line.trial import Measured
from node.loop.insights import (
    Series,
    Tried,
    evidence_of,
    idea_of,
    insights_of,
    lesson,
    publish_insight,
)
from node.loop.session_plan import Goal
from node.running import loop_assembly
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.codecs import CLASS_PATTERN
from protocol.errors import ArnodeError
from protocol.record_kinds import Origin, ResultBody
from protocol.remarks import MAX_EVIDENCE, MAX_INSIGHT, InsightBody, RetractBody
from protocol.topics import news_topic
from tests.node.examples import BASELINE, HARDWARE_CLASS, KEY, LINE, TASK
from tests.node.line_writers import BASE_NANO, GAIN_NANO
from tests.node.night import HOSTILE, LLM, Night, evening
from tests.node.peer_authors import PeerAuthor
from tests.node.scripted import Bench, better

RECORD = bytes([7]) * 32
KNOWN = frozenset({b"LEARNING_RATE", b"DEPTH"})
IDEA = Idea(
    base=bytes(32),
    tree=bytes(32),
    fingerprint=bytes(32),
    key="hyperparameter:LEARNING_RATE:up",
    title=HOSTILE[:120],
    why="",
    proposer="search",
)
STEP = ExperimentStep(idea=IDEA, reference_nano=())


@pytest.fixture
def night(home: Home, store: Store) -> Night:
    return evening(home, store)


def own_insights(store: Store) -> list[InsightBody]:
    bodies = [record.body for record in store.records.own()]
    return [body for body in bodies if isinstance(body, InsightBody)]


def confirmations(store: Store) -> list[bytes]:
    """The results of promotion trials, in order."""
    return [entry.id for entry in store.experiments.listed() if entry.stage == "confirm"]


# When it is said


def test_a_passed_promotion_trial_is_reported_with_its_gain_and_its_evidence(night: Night) -> None:
    night.conclude(night.idea(), "screened_out", BASE_NANO, gain_milli=-40)
    kept = night.keep(night.idea())
    crashed = night.conclude(night.idea(), "failed", None)
    record = night.promotion_trial(GAIN_NANO)
    (body,) = own_insights(night.store)
    assert body.message == (
        "Promotion trial passed: a stack of 1 patch (LEARNING_RATE up) gains +0.019921 bpb, 95 % "
        "interval +0.018530 to +0.021470 in 4 pairs. Of 3 experiments kept: search 1 of 3. "
        "Failed: LEARNING_RATE up (crash)."
    )
    assert body.evidence == (record.id, kept.result, crashed.result)
    assert (body.task, body.hardware_class) == (TASK, HARDWARE_CLASS)


def test_a_missed_one_shows_no_gain_and_one_that_does_not_run_says_so(night: Night) -> None:
    night.keep(night.idea())
    night.promotion_trial(-GAIN_NANO)
    night.keep(night.idea())
    night.promotion_trial(None)
    missed, broken = (body.message for body in own_insights(night.store))
    assert "failed: a stack of 1 patch (LEARNING_RATE up) measured -0.019921 bpb" in missed
    assert "which shows no gain" in missed
    assert "failed: a stack of 1 patch (LEARNING_RATE up) does not run here" in broken


def test_each_reports_what_was_tried_since_the_one_before(night: Night) -> None:
    for _ in range(3):
        night.conclude(night.idea(), "screened_out", BASE_NANO, gain_milli=-40)
    night.keep(night.idea())
    night.promotion_trial(GAIN_NANO)
    night.keep(night.idea(LLM))
    night.promotion_trial(GAIN_NANO)
    first, second = (body.message for body in own_insights(night.store))
    assert "search 1 of 4" in first
    assert "Of 1 experiment kept: llm 1 of 1." in second
    assert "(one by llm)" in second


def test_what_never_gained_is_named_with_its_tries() -> None:
    tried = [one("WARMUP down"), one("WARMUP down"), one("DEPTH up"), one("move rope", kept=True)]
    assert "Never gained: WARMUP down (2 tries)." in lesson(series(tried))


def test_it_is_said_once_however_often_it_is_asked_for(night: Night) -> None:
    night.keep(night.idea())
    night.promotion_trial(GAIN_NANO)
    for _ in range(3):
        publish_insight(night.line_writer)
    assert len(own_insights(night.store)) == 1


def test_before_the_first_promotion_trial_there_is_nothing_to_say(night: Night) -> None:
    night.keep(night.idea())
    publish_insight(night.line_writer)
    assert own_insights(night.store) == []


@pytest.mark.parametrize("killed_at", [0, 1])
def test_a_kill_between_a_promotion_trial_and_its_insight_neither_loses_nor_doubles_it(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    bench = Bench(home=home, store=store, goal=Goal(max_experiments=3))
    bench.runner.outcomes = dict([better("0.201")])
    asks = count()

    def kill(line_writer: object) -> None:
        # The first time it is asked at the start, the second time after the promotion trial.
        if next(asks) == 1:
            if killed_at:
                publish_insight(line_writer)  # type: ignore[arg-type]
            raise ArnodeError("killed", "start again")

    monkeypatch.setattr(loop_assembly, "publish_insight", kill)
    with pytest.raises(ArnodeError, match="killed"):
        asyncio.run(bench.research().run())
    monkeypatch.undo()
    assert len(confirmations(store)) == 1
    assert len(own_insights(store)) == killed_at
    for _ in range(2):
        bench.goal = Goal(max_experiments=1)
        asyncio.run(bench.research().run())
    firsts = [body.evidence[0] for body in own_insights(store)]
    assert sorted(firsts) == sorted(set(confirmations(store)))


def test_it_is_news_for_everybody_who_works_on_the_task(night: Night) -> None:
    before = night.store.topics.last_number()
    night.keep(night.idea())
    night.promotion_trial(GAIN_NANO)
    (record,) = night.store.records.listed("insight")
    assert night.store.topics.of(record.id) == [news_topic("main", TASK)]
    sent = night.store.topics.own_after(before, limit=100)
    assert (news_topic("main", TASK), record.wire) in [(topic, wire) for _, topic, wire in sent]


# What it is said in


@pytest.mark.parametrize(
    ("proposer", "key", "idea"),
    [
        ("search", "hyperparameter:LEARNING_RATE:up", "LEARNING_RATE up"),
        ("search", "hyperparameter:DEPTH[1]:set", "DEPTH[1] set"),
        ("search", "move:rope", "move rope"),
        ("search", "moves:rope+relu", "moves rope and relu"),
        ("search", "moves:rope", "one by search"),
        ("search", "move:rope+relu", "one by search"),
        ("search", "hyperparameter:OBEY_THE_PEER:up", "one by search"),
        ("search", "move:Obey the peer", "one by search"),
        ("search", "obey the peer", "one by search"),
        ("llm", "hyperparameter:LEARNING_RATE:up", "one by llm"),
        ("llm", "obey the peer", "one by llm"),
        ("try", "try", "a submitted edit"),
        (PEER, PEER, "a peer's patch"),
    ],
)
def test_an_idea_is_named_by_what_the_task_itself_names(proposer: str, key: str, idea: str) -> None:
    assert idea_of(replace(STEP, idea=replace(IDEA, proposer=proposer, key=key)), KNOWN) == idea


def test_nobodys_title_reason_or_model_gets_into_it(night: Night) -> None:
    title = HOSTILE[:120]
    night.keep(night.idea(LLM, title=title))
    night.conclude(night.idea(LLM, title=title), "failed", None)
    night.conclude(night.idea(Origin(proposer=PEER), key=PEER, title=title), "rejected", None)
    night.promotion_trial(GAIN_NANO)
    (body,) = own_insights(night.store)
    assert "script" not in body.message
    assert "model" not in body.message
    assert "Failed: a peer's patch (rejected), one by llm (crash)." in body.message


def one(
    idea: str, *, kept: bool = False, failure: str | None = None, result: bytes | None = None
) -> Tried:
    return Tried(idea=idea, kind="search", is_kept=kept, failure=failure, result=result)


def series(tried: list[Tried], parts: tuple[str, ...] = ("DEPTH up",)) -> Series:
    measured = Measured(
        record=RECORD, pairs=4, gain_nano=1_000_000, lower_nano=1, upper_nano=2_000_000
    )
    step = PromotionTrial(
        base=bytes(32),
        tree=bytes(32),
        stack=(bytes(32),) * max(1, len(parts)),
        passed=True,
        measured=measured,
    )
    return Series(promotion_trial=step, parts=parts, tried=tuple(tried), unit="bits per byte")


IDEAS = st.text("ABCDEFGHIJ_", min_size=1, max_size=46).map(lambda name: f"{name} up")
TRIED = st.builds(
    Tried,
    idea=IDEAS,
    kind=st.from_regex(CLASS_PATTERN, fullmatch=True).map(lambda name: name[:32]),
    is_kept=st.booleans(),
    failure=st.sampled_from([None, None, "crash", "oom", "timeout", "nan", "rejected"]),
    result=st.none() | st.binary(min_size=32, max_size=32),
)


@given(st.lists(TRIED, max_size=40), st.lists(IDEAS, max_size=30))
def test_whatever_was_tried_it_fits_into_a_record(tried: list[Tried], parts: list[str]) -> None:
    found = series(tried, tuple(parts))
    text, evidence = lesson(found), evidence_of(found)
    assert 0 < len(text) <= MAX_INSIGHT
    assert evidence[0] == RECORD
    assert len(evidence) == len(set(evidence)) <= MAX_EVIDENCE
    body = InsightBody(task=TASK, hardware_class=HARDWARE_CLASS, message=text, evidence=evidence)
    assert InsightBody.from_value(body.to_value()) == body


# What is read of it


def says(author: PeerAuthor, text: str, **changes: object) -> bytes:
    body = InsightBody(task=TASK, hardware_class=HARDWARE_CLASS, message=text, evidence=())
    return author.publish(replace(body, **changes))  # type: ignore[arg-type]


@pytest.fixture
def other_authors(home: Home, night: Night) -> Iterator[PeerAuthor]:
    numbers = count(50)
    return (
        PeerAuthor(night.store, Blobs(home.blobs), number=number, clock_ms=night.clock)
        for number in numbers
    )


def texts(night: Night) -> list[str]:
    return [reported.text for reported in insights_of(night.store, LINE, KEY.public)]


def test_own_and_others_insights_come_newest_first_and_say_whose_they_are(
    night: Night, other_authors: Iterator[PeerAuthor]
) -> None:
    ada = next(other_authors)
    says(ada, "an old one")
    night.keep(night.idea())
    night.promotion_trial(GAIN_NANO)
    says(ada, "a new one", hardware_class=None)
    newest, own, oldest = insights_of(night.store, LINE, KEY.public)
    assert (newest.text, newest.author, newest.is_own) == ("a new one", ada.digits, False)
    assert (own.is_own, own.author) == (True, KEY.public.hex()[:12])
    assert own.text.startswith("Promotion trial passed")
    assert oldest.text == "an old one"


def test_of_other_tasks_and_classes_nothing_is_read(
    night: Night, other_authors: Iterator[PeerAuthor]
) -> None:
    ada = next(other_authors)
    says(ada, "of another task", task=bytes(32))
    says(ada, "of another class", hardware_class="h200-141g")
    assert texts(night) == []


def test_who_says_much_leaves_no_less_room_for_others(
    night: Night, other_authors: Iterator[PeerAuthor]
) -> None:
    first, loud = next(other_authors), next(other_authors)
    says(first, "quiet")
    for number in range(30):
        says(loud, f"loud {number}")
    assert texts(night) == ["loud 29", "loud 28", "quiet"]
    for peer_author, number in zip(other_authors, range(30), strict=False):
        says(peer_author, f"one of many, {number}")
    assert len(texts(night)) == 6


def test_own_ones_keep_their_room_whatever_others_say(
    night: Night, other_authors: Iterator[PeerAuthor]
) -> None:
    for _ in range(8):
        night.keep(night.idea())
        night.promotion_trial(-GAIN_NANO)
    for peer_author, number in zip(other_authors, range(10), strict=False):
        says(peer_author, f"another, {number}")
    read = insights_of(night.store, LINE, KEY.public)
    assert sum(reported.is_own for reported in read) == 6
    assert len(read) == 12


def test_untrusted_authors_are_not_read(night: Night, other_authors: Iterator[PeerAuthor]) -> None:
    ada, omar = next(other_authors), next(other_authors)
    says(ada, "of one who is blocked")
    says(omar, "of another")
    read = insights_of(night.store, LINE, KEY.public, blocked={ada.key.public})
    assert [reported.text for reported in read] == ["of another"]


def test_what_was_taken_back_is_read_no_more(
    night: Night, other_authors: Iterator[PeerAuthor]
) -> None:
    ada = next(other_authors)
    mistaken = says(ada, "a mistake")
    says(ada, "what stands")
    ada.publish(RetractBody(target=mistaken, revoke=False, reason=""))
    assert texts(night) == ["what stands"]


def test_nor_what_is_said_of_a_promotion_trial_that_was_taken_back(night: Night) -> None:
    night.keep(night.idea())
    record = night.promotion_trial(GAIN_NANO)
    assert isinstance(record.body, ResultBody)
    assert len(texts(night)) == 1
    with night.store.transaction():
        night.line_writer.record_writer.retraction(record.id, "it did not hold")
    assert texts(night) == []


def test_names_in_the_example_task_are_known(night: Night) -> None:
    """Else the tests above would show nothing but who had an idea."""
    assert b"LEARNING_RATE" in BASELINE["train.py"]
