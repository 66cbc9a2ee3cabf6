"""One model plans and one reviews for a real node: what they say steers it, and it never waits."""

import itertools
import re
from pathlib import Path

import pytest
from aiohttp import web

from tests.integration.nodes import DEAF_FLAGS, arnode, arnode_json
from tests.integration.test_proposers_at_work import OTHER_RATE, steps_of
from tests.llm_server import TOKENS_IN, TOKENS_OUT, LlmServer, says

ONE = TOKENS_IN + TOKENS_OUT
AIM = "Look at the learning rate."


@pytest.mark.timeout(600)
def test_an_aim_is_told_and_of_three_proposals_one_is_run(copied: Path) -> None:
    before = len(steps_of(copied))
    numbers = itertools.count(31, 7)

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        """Answer whoever is asked: an aim, the second of three, or another learning rate."""
        question = server.questions[-1]
        match question["model"]:
            case "large":
                said = f"AIM: {AIM}"
            case "judge":
                said = "CHOICE: 2\nWHY: It is the boldest."
            case _:
                shown = question["messages"][1]["content"]
                (found,) = re.findall(r"^LEARNING_RATE = \S+", shown, re.MULTILINE)
                said = OTHER_RATE.format(search=found, rate=f"0.00{next(numbers)}")
        return await says(said)(server, request)

    with LlmServer(reply) as server:
        settings = {
            "ARNODE_AGENT": "small",
            "ARNODE_PLANNER": "large",
            "ARNODE_REVIEWER": "judge",
            "ARNODE_LLM_URL": server.url,
        }
        until = ("--max-experiments", "6", "--for", "3m")
        words = ("start", *DEAF_FLAGS, "--network", "none", *until)
        said = arnode(copied, *words, env=settings).stderr
        asked: dict[str, list[str]] = {name: [] for name in ("small", "large", "judge")}
        for question in server.questions:
            asked[question["model"]].append(question["messages"][1]["content"])
    assert "planner large: a day may cost 5 USD (`usd_per_day`)" in said
    assert f"the planner large aims at: {AIM}" in said
    assert "the reviewer judge chose `A rate of 0.00" in said
    assert len(asked["large"]) == 1
    assert AIM in asked["small"][-1].partition("# The planner's aim")[2]
    shown = asked["judge"][0]
    second = shown.partition("proposal 2 ---")[2].partition("proposal 3 ---")[0]
    (title,) = re.findall(r"\| title: (.+)", second)
    written = [step for step in steps_of(copied)[before:] if step.proposer == "llm"]
    assert written[0].title == title
    assert written[0].tokens == 4 * ONE
    (line,) = arnode_json(copied, "status")["lines"]
    assert (line["planner"]["model"], line["planner"]["aim"]) == ("large", AIM)
    booked = {call["model"] for call in arnode_json(copied, "spending")["calls"]}
    assert booked == {"small", "planner", "reviewer"}
