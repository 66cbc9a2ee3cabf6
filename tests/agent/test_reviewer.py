"""A reviewer sees all proposals in a random order, and chooses one by its number, or none."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.completion import CompletionFault
from agent.model.prompt import fence_of, prompt_input
from agent.model.reviewer import (
    ModelReviewer,
    Review,
    ReviewPrompt,
    choice_in,
    in_drawn_order,
    why_in,
)
from agent.model.sections import PromptInput
from agent.proposal import NoProposal, Proposal
from agent.source.canonical import fingerprint
from tests.agent.contexts import SECRET, TINY, context, edit
from tests.agent.scripted import LIMITS, SPENT, Model
from tests.agent.test_prompt import assert_is_as_committed, with_everything


def proposal(name: str, value: str, **changes: Any) -> Proposal:
    """Return a proposal that changes a constant of the tiny task."""
    before = {"LAYERS": "2", "WIDTH": "64", "HEADS": "4"}[name]
    old, new = f"{name} = {before}\n", f"{name} = {value}\n"
    source = TINY.replacing("train.py", TINY["train.py"].replace(old.encode(), new.encode()))
    plain = Proposal(
        parent=TINY.tree,
        source=source,
        edits=(edit(old, new),),
        key=f"llm:{name.lower()}",
        title=f"{name} {value}",
        why=f"{name} is too small.",
        proposer="llm",
        fingerprint=fingerprint(source),
        cost=SPENT,
    )
    return replace(plain, **changes)


THREE = (proposal("LAYERS", "3"), proposal("WIDTH", "96"), proposal("HEADS", "8"))


def reviewer(model: Model) -> ModelReviewer:
    return ModelReviewer(model, model="some/judge", limits=LIMITS, secret=SECRET)


def reviewed(model: Model, proposals: tuple[Proposal, ...] = THREE) -> Review | NoProposal:
    return asyncio.run(reviewer(model).review(with_everything(), proposals))


def test_what_a_reviewer_reads_is_as_committed() -> None:
    model = Model("CHOICE: 1")
    reviewed(model)
    (question,) = model.asked
    shown = "".join(f"##### {one.role} #####\n{one.content}\n" for one in question.messages)
    assert_is_as_committed("review", shown)


def test_all_that_was_written_is_quoted_under_its_number() -> None:
    model = Model("CHOICE: 1")
    reviewed(model)
    shown = in_drawn_order(THREE, seed=with_everything().seed)
    drafted = tuple(one.title for one in shown)
    fence = fence_of(with_everything(drafted=drafted), SECRET)
    parts = model.last_message.split(f"--- {fence.nonce} quoted: proposal ")[1:]
    assert [part[:2] for part in parts] == ["1 ", "2 ", "3 "]
    for part, one in zip(parts, shown, strict=True):
        quote = part.partition(" end ---")[0]
        assert f"{fence.mark}title: {one.title}\n" in quote
        assert f"{fence.mark}why: {one.why}\n" in quote
        assert f"{fence.mark}+{one.title.replace(' ', ' = ')}\n" in quote
    assert "9 experiments: 2 kept" in model.last_message


def test_the_author_of_a_proposal_knows_no_fence_of_its_review() -> None:
    model = Model("CHOICE: 1")
    reviewed(model)
    reported = [with_everything(drafted=tuple(one.title for one in THREE[:n])) for n in range(3)]
    assert not any(fence_of(one, SECRET).nonce in model.last_message for one in reported)


def test_the_order_is_drawn_and_follows_from_the_seed() -> None:
    orders = {in_drawn_order(THREE, seed=seed) for seed in range(60)}
    assert len(orders) == 6
    assert in_drawn_order(THREE, seed=3) == in_drawn_order(THREE, seed=3)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_one_that_is_named_is_chosen(number: int) -> None:
    found = reviewed(Model(f"CHOICE: {number}\nWHY: It is the boldest."))
    shown = in_drawn_order(THREE, seed=with_everything().seed)
    assert found == Review(chosen=shown[number - 1], why="It is the boldest.", cost=SPENT)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("CHOICE: 2\nWHY: x", 2),
        ("**CHOICE:** 2", 2),
        ("**CHOICE: 2**", 2),
        ("Choice = #2.", 2),
        ("choice: Proposal 2, as 3 experiments were alike", 2),
        ("<think>CHOICE: 1</think>\nCHOICE: 2", 2),
        ('{"choice": 2, "why": "It is 1 line."}', 2),
        ("I looked at 1 and 3.\n\nCHOICE: 2", 2),
        ("CHOICE: 2\nCHOICE: 2", 2),
        ("2", 2),
        (" **2.** \n", 2),
        ("CHOICE: 2 or 3", None),
        ("CHOICE: 2, 3", None),
        ("CHOICE: 2.5", None),
        ("CHOICE: 1\nCHOICE: 2", None),
        ("CHOICE: 4", None),
        ("CHOICE: 0", None),
        ("CHOICE: 20", None),
        ("CHOICE: none", None),
        ("CHOICE: the 2nd", None),
        ("2 of them repeat what failed", None),
        ("I choose 2", None),
        ("My CHOICE: 2", None),
        ("<think>CHOICE: 2", None),
        ("", None),
    ],
)
def test_a_choice_is_a_number_on_a_line_of_its_own_or_none(said: str, number: int | None) -> None:
    assert choice_in(said, count=3) == number


@given(st.text(max_size=500), st.integers(2, 3))
def test_a_choice_is_one_of_those_there_are_whatever_is_said(said: str, count: int) -> None:
    assert choice_in(said, count=count) in {None, *range(1, count + 1)}


@given(st.integers(1, 3), st.sampled_from(["CHOICE: {}", "*Choice*: {}\nWHY: {}", "{}"]))
def test_whatever_is_in_the_format_is_read(number: int, form: str) -> None:
    assert choice_in(form.format(number, number), count=3) == number


def test_a_reason_is_one_harmless_line() -> None:
    assert why_in("CHOICE: 1\nWHY: It is\nthe \u202eboldest.") == "It is the boldest."
    assert why_in("CHOICE: 1\n**Why:** *new*") == "new"
    assert why_in("CHOICE: 1") == ""
    assert len(why_in("WHY: " + "x" * 5_000)) == 600


def test_nonsense_is_a_reason_that_is_charged_and_no_pause() -> None:
    assert reviewed(Model("All are fine.")) == NoProposal(
        reason="some/judge chose none of 3 proposals", retry_s=0.0, cost=SPENT
    )


def test_a_fault_is_a_reason_and_a_pause() -> None:
    found = reviewed(Model(CompletionFault(kind="timeout", detail="no answer in 60 s")))
    assert isinstance(found, NoProposal)
    assert (found.reason, found.retry_s) == ("timeout: no answer in 60 s", 60.0)
    assert found.cost.calls == 1


def prompt_of(proposals: Sequence[Proposal]) -> ReviewPrompt:
    known = prompt_input(with_everything(), SECRET)
    assert isinstance(known, PromptInput)
    return ReviewPrompt.of(known, proposals)


def test_of_long_changes_so_much_is_shown_that_what_was_tried_has_room() -> None:
    code = "".join(f"X{number} = {'1' * 80}\n" for number in range(400))
    long = [
        replace(
            one, source=one.source.replacing("train.py", one.source["train.py"] + code.encode())
        )
        for one in THREE
    ]
    prompt = prompt_of(long)
    counts = []
    for limit_chars in (200_000, 20_000, 14_500):
        found = prompt.within(limit_chars)
        assert not isinstance(found, NoProposal), found.reason
        assert sum(len(one.content) for one in found) <= limit_chars
        assert found[1].content.count(" more lines") == 3
        counts.append(found[1].content.count("| +X"))
    assert counts[0] > counts[1] > counts[2]


@given(st.integers(0, 60_000))
def test_a_reviewers_prompt_is_never_longer_than_it_may_be(limit_chars: int) -> None:
    found = prompt_of(THREE).within(limit_chars)
    if isinstance(found, NoProposal):
        assert f"limit of {limit_chars}" in found.reason
        assert limit_chars < 12_000
    else:
        assert sum(len(one.content) for one in found) <= limit_chars
        assert found[1].content.rpartition("\n# ")[2].startswith("Your answer\n")


def test_without_a_brief_nobody_reviews() -> None:
    model = Model()
    found = asyncio.run(reviewer(model).review(context(brief=None), THREE))
    assert isinstance(found, NoProposal)
    assert model.asked == []
