"""A proposer's visit is recorded step by step, and a trace stays within its limits."""

import asyncio

import pytest

from agent.completion import CompletionFault, ModelCompletion
from agent.model.reviewed import ReviewedProposer
from agent.proposal import NoProposal, Proposal
from agent.source.capabilities import Checked
from agent.visit.trace import (
    MOST_STEPS,
    StepKind,
    TraceLog,
    TraceStep,
    bounded,
    has_answer,
    last_refusal,
)
from protocol.errors import Rejected
from protocol.source import Source
from tests.agent.contexts import context
from tests.agent.scripted import SPENT, Model, proposer, replacing
from tests.agent.test_command import BETTER, FIT, SOCKET, edited, proposed
from tests.agent.test_command import proposer as program
from tests.agent.test_reviewer import reviewer

DEEPER = replacing(("LAYERS = 2", "LAYERS = 3"), title="Deeper")
WIDER = replacing(("WIDTH = 64", "WIDTH = 96"), title="Wider")
HEADS = replacing(("HEADS = 4", "HEADS = 8"), title="More heads")
SOCKETS = replacing(("LAYERS = 2", "import socket\nLAYERS = 2"), title="Sockets")
NOTHING = replacing(("LAYERS = 2", "LAYERS = 2  # two"), title="Nothing")
LIMIT = CompletionFault(kind="over_budget", detail="today's use is 2 USD")
CUT = ModelCompletion(text="", is_cut=True, cost=SPENT)


def visited(*answers: str | ModelCompletion | CompletionFault) -> Proposal | NoProposal:
    return asyncio.run(proposer(Model(*answers)).propose(context()))


def kinds(made: Proposal | NoProposal) -> list[StepKind]:
    return [step.kind for step in made.steps]


def test_a_visit_that_works_has_the_prompt_the_answer_and_the_edit() -> None:
    made = visited(DEEPER)
    assert kinds(made) == ["prompt", "prompt", "answer", "edit"]
    system, user, answer, edit = made.steps
    assert (system.who, user.who, answer.who) == ("system", "user", "some/model")
    assert "# The present source" in user.text
    assert answer.text == DEEPER
    assert (answer.tokens_in, answer.tokens_out, answer.usd_nano) == (100, 7, 3)
    assert "+LAYERS = 3" in edit.text
    ((file,),) = [edit.files]
    assert (file.path, file.added, file.removed) == ("train.py", 1, 1)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ("I have no idea.", "unreadable"),
        (replacing(("LAYRES = 2", "LAYERS = 3")), "unfit"),
        (SOCKETS, "not_allowed"),
        (NOTHING, "unchanged"),
        (CUT, "cut_off"),
    ],
)
def test_each_refused_answer_says_why_and_what_was_replied(
    answer: str | ModelCompletion, refusal: str
) -> None:
    made = visited(answer, DEEPER)
    assert isinstance(made, Proposal)
    (step,) = [step for step in made.steps if step.refusal]
    assert step.refusal == refusal
    assert step.text
    assert kinds(made)[kinds(made).index("refusal") + 1] == "reply"
    assert kinds(made)[-2:] == ["answer", "edit"]


def test_an_idea_that_was_tried_is_refused_as_such() -> None:
    model = Model(DEEPER, DEEPER)
    made = asyncio.run(proposer(model).propose(context(tried=lambda _: True)))
    assert isinstance(made, NoProposal)
    assert last_refusal(made.steps) == "tried"


def test_the_limit_of_the_day_is_a_refusal_without_an_answer() -> None:
    made = visited(LIMIT)
    assert isinstance(made, NoProposal)
    assert kinds(made) == ["prompt", "prompt", "refusal"]
    assert last_refusal(made.steps) == "limit"
    assert "2 USD" in made.steps[-1].text
    assert not has_answer(made.steps)


def test_a_reviewed_visit_has_every_proposal_and_the_choice() -> None:
    writer, judge = Model(DEEPER, WIDER, HEADS), Model("CHOICE: 1\nWHY: Bold.")
    both = ReviewedProposer(proposer(writer), reviewer(judge), say=lambda _: None)
    made = asyncio.run(both.propose(context()))
    assert isinstance(made, Proposal)
    assert {step.draft for step in made.steps} == {1, 2, 3, None}
    (choice,) = [step for step in made.steps if step.kind == "choice"]
    assert (choice.who, choice.draft) == ("some/judge", None)
    refused = [step for step in made.steps if step.refusal == "reviewer"]
    assert len(refused) == 2
    assert not any(made.title in step.text for step in refused)


def test_a_coding_agent_s_visit_has_its_edit_or_why_it_is_refused() -> None:
    made = proposed(program(edited(BETTER)))
    assert kinds(made) == ["prompt", "edit"]
    assert "+c = 4" in made.steps[-1].text
    for done, check, refusal in (
        (edited(Source.of({"train.py": b"a = 1\nb = 2\n"})), FIT, "unchanged"),
        (edited(BETTER), Checked(fingerprint=None, marks=(SOCKET,)), "not_allowed"),
        (Rejected("it ended with status 1"), FIT, "fault"),
        (NoProposal(reason="over budget", retry_s=1.0), FIT, "limit"),
    ):
        made = proposed(program(done, check=check))
        assert isinstance(made, NoProposal)
        assert last_refusal(made.steps) == refusal


def test_a_long_trace_loses_its_middle_and_says_so() -> None:
    steps = [TraceStep(kind="answer", text=f"{number} " + "x" * 9_000) for number in range(200)]
    kept, dropped = bounded(steps, limit_bytes=64 * 1024, clean=str)
    assert (len(kept), dropped) == (MOST_STEPS, 200 - MOST_STEPS)
    assert sum(len(step.text.encode()) for step in kept) <= 64 * 1024
    assert kept[0].text.startswith("0 ")
    assert kept[-1].text.startswith("199 ")
    assert all(step.left_out > 0 for step in kept)
    assert "characters left out" in kept[0].text


def test_secrets_are_removed_before_a_text_is_shortened() -> None:
    secret = "s" * 40
    text = "x" * 5_320 + secret + "x" * 20_000  # the cut would go through it
    ((step,), _) = bounded(
        [TraceStep(kind="output", text=text)],
        limit_bytes=64 * 1024,
        clean=lambda one: one.replace(secret, ""),
    )
    assert "s" * 5 not in step.text


def test_only_new_messages_are_recorded() -> None:
    made = visited("Nothing.", "Nothing.", DEEPER)
    assert kinds(made).count("prompt") == 2
    assert kinds(made).count("reply") == 2
    log = TraceLog()
    log.edited(BETTER, BETTER)
    assert log.steps == []
