"""One model plans and one reviews for a real node, which follows them and never waits."""

import itertools
import re
from pathlib import Path

import pytest
from aiohttp import web

from node.line.experiment import ExperimentStep
from node.proposing.roles import PLANNED_EXPERIMENTS
from tests.integration.nodes import LIGHT_COMMAND, arnode_json, running_node
from tests.integration.test_proposers_at_work import off_by, steps_of
from tests.llm_server import TOKENS_IN, TOKENS_OUT, LlmServer, says

ONE = TOKENS_IN + TOKENS_OUT
AIM = "Look at the last addend."


def aims_shown(server: LlmServer) -> int:
    """Return how many questions for a proposal name the aim."""
    asked = [one for one in server.questions if one["model"] == "small"]
    return sum(AIM in str(one["messages"]) for one in asked)


def _program_in(system: str) -> str:
    return system.partition("# The owner's instructions")[2].partition("# How a change")[0]


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_an_aim_is_shown_one_of_three_is_run_and_the_prompt_is_printed(copied: Path) -> None:
    before = len(steps_of(copied))
    numbers = itertools.count(-1, -1)

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        """Reply as the planner with an aim, as the reviewer with choice 2, else with a new OFF."""
        match server.questions[-1]["model"]:
            case "large":
                answer = says(f"AIM: {AIM}")
            case "judge":
                answer = says("CHOICE: 2\nWHY: It is the boldest.")
            case _:
                answer = off_by(next(numbers))
        return await answer(server, request)

    def written() -> list[ExperimentStep]:
        return [step for step in steps_of(copied)[before:] if step.idea.proposer == "llm"]

    with LlmServer(reply) as server:
        settings = {
            "ARNODE_AGENT": "search,small",
            "ARNODE_PLANNER": "large",
            "ARNODE_REVIEWER": "judge",
            "ARNODE_LLM_URL": server.url,
            "ARNODE_LLM_CONTEXT": "16384",
        }
        with running_node(copied, "--network", "none", env=settings, command=LIGHT_COMMAND) as node:
            node.wait_for("the planner large aims at")
            node.wait_until(lambda: bool(written()) and aims_shown(server) > 0)
            document = arnode_json(copied, "agent", "propose", "--print-prompt")
            (line,) = arnode_json(copied, "status")["lines"]
            node.interrupt()
            assert node.end() == 0
        said = "\n".join(node.said)
        asked: dict[str, list[str]] = {name: [] for name in ("small", "large", "judge")}
        systems = []
        for question in server.questions:
            system, shown, *_ = (turn["content"] for turn in question["messages"])
            asked[question["model"]].append(shown)
            if question["model"] == "small":
                systems.append(system)
    # Both prompts contain the owner's program, whatever happened since.
    programs = {_program_in(one) for one in (document["prompt"][0]["content"], *systems)}
    assert len(programs) == 1
    assert programs != {""}
    assert document["who"] == "llm (small)"
    assert document["room"] == "24,576 characters, as the model's context and price allow"
    assert [one["name"] for one in line["proposers"]] == ["search", "small"]
    assert "planner large: a day may cost 5 USD (`usd_per_day`)" in said
    assert f"the planner large aims at: {AIM}" in said
    assert "the reviewer judge chose `Off by -" in said
    tried = len(steps_of(copied)) - before
    assert 1 <= len(asked["large"]) <= 1 + tried // PLANNED_EXPERIMENTS
    assert AIM in asked["small"][-1].partition("# The planner's aim")[2]
    second = asked["judge"][0].partition("proposal 2 ---")[2].partition("proposal 3 ---")[0]
    (title,) = re.findall(r"\| title: (.+)", second)
    first = written()[0]
    assert first.title == title
    assert first.idea.tokens == 4 * ONE
    (line,) = arnode_json(copied, "status")["lines"]
    assert (line["planner"]["model"], line["planner"]["aim"]) == ("large", AIM)
    booked = {call["model"] for call in arnode_json(copied, "agent", "spending")["calls"]}
    assert booked == {"small", "planner", "reviewer"}
