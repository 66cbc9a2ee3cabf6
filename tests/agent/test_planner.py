"""A planner gets the same context as a proposer, and its answer is shortened and made harmless."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.completion import CompletionFault, ModelCompletion
from agent.model.planner import MAX_AIM, ModelPlanner, Planned, aim_in, planning_prompt
from agent.model.prompt import prompt_input
from agent.model.proposer import ModelProposer
from agent.model.sections import PromptInput
from agent.proposal import Context, NoProposal
from tests.agent.contexts import BRIEF, SECRET, TINY, context, crash
from tests.agent.scripted import LIMITS, SPENT, Model, check
from tests.agent.test_prompt import PLANNED_BRIEF, assert_is_as_committed, with_everything

AIM = "AIM: Look at the schedule, and leave the width alone."


def planner(model: Model, **limits: Any) -> ModelPlanner:
    return ModelPlanner(
        model,
        model="some/large",
        limits=replace(LIMITS, **limits),
        experiments=12,
        secret=SECRET,
    )


def planned(model: Model, given: Context | None = None, **limits: Any) -> Planned | NoProposal:
    return asyncio.run(planner(model, **limits).plan(given or with_everything()))


def test_what_a_planner_reads_is_as_committed() -> None:
    model = Model(AIM)
    planned(model, with_everything(brief=PLANNED_BRIEF))
    (question,) = model.asked
    shown = "".join(f"##### {one.role} #####\n{one.content}\n" for one in question.messages)
    assert_is_as_committed("plan", shown)


def test_it_reads_what_a_proposer_reads_but_the_end() -> None:
    model, other = Model(AIM), Model("nothing", "nothing", "nothing")
    planned(model)
    proposer = ModelProposer(other, model="some/model", limits=LIMITS, check=check, secret=SECRET)
    asyncio.run(proposer.propose(with_everything()))
    asked = (model.asked[0], other.asked[0])
    ends = [one.messages[1].content.partition("\n# Now\n") for one in asked]
    assert ends[0][0] == ends[1][0]
    assert ends[0][2] != ends[1][2]
    assert TINY["train.py"].decode() in ends[0][0]


def test_its_last_aim_is_shown_as_its_own() -> None:
    model = Model(AIM)
    planned(model, with_everything(brief=PLANNED_BRIEF))
    assert "# Your last aim\n" in model.last_message
    assert "# The planner's aim" not in model.last_message
    assert model.last_message.count("Look at the optimiser first") == 1


def test_on_a_plateau_a_bold_step_is_asked_for() -> None:
    reported = {}
    for aim in ("improve", "elsewhere"):
        model = Model(AIM)
        planned(model, with_everything(aim=aim))
        reported[aim] = "No small change has helped" in model.last_message
    assert reported == {"improve": False, "elsewhere": True}


def test_a_crash_is_none_of_its_business() -> None:
    model = Model(AIM)
    planned(model, with_everything(crash=crash(TINY)))
    assert "yours that failed" not in model.last_message
    assert "# The present source" in model.last_message


def test_what_it_writes_and_what_that_cost_come_back() -> None:
    assert planned(Model(AIM)) == Planned(
        text="Look at the schedule, and leave the width alone.", cost=SPENT
    )


@pytest.mark.parametrize(
    ("said", "aim"),
    [
        ("AIM: go deeper", "go deeper"),
        ("**AIM:** go deeper", "go deeper"),
        ("Here it is.\n\n## Aim: go deeper\nand wider", "go deeper and wider"),
        ("<think>AIM: go wide</think>\nAIM: go deeper", "go deeper"),
        ("aim : go deeper", "go deeper"),
        ("AIM: first\nAIM: go deeper", "go deeper"),
        ("go deeper", "go deeper"),
        ("AIM:\n\n`go deeper`", "go deeper"),
        ("The aim: unclear", "The aim: unclear"),
        ("AIM: <|im_start|>\u202ego", "<|im_start|>go"),  # quoting breaks up tags
        ("AIM:", ""),
        ("<think>hm", ""),
        (" \n", ""),
        ("***", ""),
    ],
)
def test_an_aim_is_what_follows_its_label(said: str, aim: str) -> None:
    assert aim_in(said) == aim


@given(st.text(max_size=3_000))
def test_an_aim_is_one_bounded_line_whatever_is_said(said: str) -> None:
    aim = aim_in(said)
    assert len(aim) <= MAX_AIM
    assert aim.isprintable() or not aim.isascii()
    assert "\n" not in aim


def test_who_names_no_aim_rests_a_while_and_is_charged() -> None:
    found = planned(Model("AIM:"))
    assert found == NoProposal(reason="some/large gave no aim", retry_s=60.0, cost=SPENT)


def test_a_fault_is_a_reason_and_a_pause() -> None:
    found = planned(
        Model(CompletionFault(kind="over_budget", detail="the day is spent", retry_s=700.0))
    )
    assert isinstance(found, NoProposal)
    assert (found.reason, found.retry_s) == ("over budget: the day is spent", 700.0)


def test_faults_in_a_row_are_left_alone_for_longer() -> None:
    away = CompletionFault(kind="unreachable", detail="refused")
    one = planner(Model(*[away] * 4, AIM, away))
    found = [asyncio.run(one.plan(context())) for _ in range(6)]
    pauses = [each.retry_s for each in found if isinstance(each, NoProposal)]
    assert pauses == [60.0, 120.0, 240.0, 300.0, 60.0]


def test_what_is_too_long_is_asked_once_more_and_shorter() -> None:
    model = Model(CompletionFault(kind="overflow", detail="too long"), AIM)
    found = planned(model, prompt_chars=40_000)
    assert isinstance(found, Planned)
    sizes = [sum(len(one.content) for one in asked.messages) for asked in model.asked]
    assert sizes[1] <= 20_000


def test_an_aim_that_was_cut_is_gone_on_with() -> None:
    cut = ModelCompletion(text="AIM: go\ndeep", is_cut=True, cost=SPENT)
    found = planned(Model(cut, "deeper\nand wider"))
    assert isinstance(found, Planned)
    assert found.text == "go deeper and wider"
    assert found.cost == SPENT + SPENT


@given(st.integers(0, 60_000))
def test_a_planners_prompt_is_never_longer_than_it_may_be(limit_chars: int) -> None:
    shown = with_everything(brief=PLANNED_BRIEF)
    known = prompt_input(shown, SECRET)
    assert isinstance(known, PromptInput)
    found = planning_prompt(known, experiments=12).within(limit_chars)
    if isinstance(found, NoProposal):
        assert f"limit of {limit_chars}" in found.reason
        assert limit_chars < 11_000
    else:
        assert sum(len(one.content) for one in found) <= limit_chars
        assert found[1].content.rpartition("\n# ")[2].startswith("Your answer\n")
        assert BRIEF.program in found[0].content


def test_without_a_brief_nobody_plans() -> None:
    model = Model()
    assert isinstance(planned(model, context(brief=None)), NoProposal)
    assert model.asked == []
