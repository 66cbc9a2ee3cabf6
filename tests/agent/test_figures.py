"""The rule in a proposer's prompt is the one for the task's style."""

from dataclasses import replace

import pytest

from agent.model.figures import keep_rule
from agent.model.prompt import prompt
from agent.proposal import NoProposal
from protocol.rule import DEFAULT, screening_policy
from protocol.styles import RUNS, Style
from tests.agent.contexts import BRIEF, SECRET, context

TOLD = {
    "runs": "one run is at least 0.75 sd better than it and a second run with a fresh seed at "
    "least 0.25 sd",
    "differences": "one run is at least 0.75 sd better than it and, after each of up to 5 runs "
    "with fresh seeds, their average so far is at least 0.25, 0.5, 1, 1.25 and 1.5 sd better, in "
    "this order; the first of these suffices if it and the run before are 8 sd better, the next "
    "ones if the average is then 5, 3.5 and 2.5 sd better",
    "exact": "its one run is better than it, because repeated runs score the same here",
}


@pytest.mark.parametrize(
    "style",
    [RUNS, Style.drawing(2), Style(name="exact", floor_nano=1000)],
    ids=lambda one: one.name,
)
def test_a_prompt_says_what_it_takes_on_a_task_of_its_style(style: Style) -> None:
    policy = screening_policy(style, DEFAULT)
    assert keep_rule(policy, base="it") == TOLD[style.name]
    sent = prompt(
        replace(context(), brief=replace(BRIEF, policy=policy)), limit_chars=100_000, secret=SECRET
    )
    assert not isinstance(sent, NoProposal)
    text = "\n".join(message.content for message in sent)
    assert keep_rule(policy, base="the present source") in text
    assert ("differ by chance" in text) == (style.name != "exact")


def test_where_nothing_was_seen_to_scatter_no_deviation_is_made_up() -> None:
    policy = screening_policy(Style.drawing(2), DEFAULT)
    brief = replace(BRIEF, policy=policy, noise_sd=1e-9)
    sent = prompt(replace(context(), brief=brief), limit_chars=100_000, secret=SECRET)
    assert not isinstance(sent, NoProposal)
    text = "\n".join(message.content for message in sent)
    assert "Repeated runs of one source scored the same" in text
    assert "standard deviation" not in text
    assert "hardly ever detected" not in text
