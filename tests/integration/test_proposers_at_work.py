"""Models and coding agents propose to a real node: what they write is run, and it never waits."""

import itertools
import sys
from pathlib import Path

import pytest
from aiohttp import web

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.store.store import Store
from node.store.traces import read_trace, trace_of, visits
from tests.agent.scripted import replacing
from tests.integration.nodes import (
    LIGHT_COMMAND,
    UNHURRIED_FLAGS,
    arnode_json,
    fault_of,
    running_node,
)
from tests.llm_server import TOKENS_IN, TOKENS_OUT, LlmServer, Reply, page, says

ADDED = "+ OFF"
BROKEN = "+ OFF // (instance['split'] == 'secret')"
AGENT = """\
import sys
from pathlib import Path
source = Path(sys.argv[1], "solve.py")
text = source.read_text()
assert "OFF = 8" in text
source.write_text(text.replace("OFF = 8", "OFF = 7"))
Path(sys.argv[1], ".arnode", "title.txt").write_text("Nearer\\n\\nIt may do.\\n")
"""


def steps_of(home: Path) -> list[ExperimentStep]:
    """Return the experiments in the order of their decisions."""
    with Store.open_read_only(Home(home)) as store:
        (line,) = store.jobs.lines()
        jobs = store.jobs.closed_jobs(line.key, ExperimentStep)
        return [job.step for job in jobs]


def traces_of(home: Path) -> dict[str, list[tuple[str | None, str]]]:
    """Return the refusal and the kind of each step, by the title of the experiment."""
    found = {}
    with Store.open_read_only(Home(home)) as store:
        for entry in store.experiments.listed():
            number = trace_of(store.database, entry.id)
            if number is not None and (read := read_trace(store.database, number)):
                found[entry.title] = [(step.refusal, step.kind) for step in read[1].steps]
    return found


def edit(old: str, new: str, title: str) -> Reply:
    """Return a model's answer of one edit."""
    return says(replacing((old, new), title=title, path="solve.py"))


def off_by(number: int) -> Reply:
    """Return a model's answer that says by how much the sum is off."""
    return edit("OFF = 8", f"OFF = {number}", f"Off by {number}")


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_model_proposes_is_corrected_repairs_and_goes_away(copied: Path) -> None:
    before = len(steps_of(copied))
    script = [
        edit("OFF = 80", "OFF = 7", "Off by 7"),  # matches nothing
        off_by(7),
        edit(ADDED, BROKEN, "No end of it"),
        off_by(6),
        off_by(5),
    ]

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        """Answer what is asked: the next ideas are asked for before a crash is known."""
        if "A version of yours that failed" in server.questions[-1]["messages"][1]["content"]:
            script.clear()
            return await edit(BROKEN, "+ OFF - 4", "Half of it")(server, request)
        return await (script.pop(0) if script else page())(server, request)

    def steps() -> list[ExperimentStep]:
        return steps_of(copied)[before:]

    with LlmServer(reply) as server:
        settings = {"ARNODE_AGENT": "small", "ARNODE_LLM_URL": server.url}
        with running_node(copied, "--network", "none", env=settings) as node:
            node.wait_for("search continue meanwhile")
            node.wait_until(lambda: "Half of it" in {step.title for step in steps()})
            node.wait_until(lambda: "search" in {step.idea.proposer for step in steps()})
            node.interrupt()
            assert node.end() == 0
        questions = [question["messages"] for question in server.questions]
    written = {step.title: step for step in steps() if step.idea.proposer == "llm"}
    # One or two ideas are written before it is known that the one before them crashed.
    first, broken, *between, fixed = written
    assert (first, broken, fixed) == ("Off by 7", "No end of it", "Half of it")
    assert between == ["Off by 6", "Off by 5"][: len(between)]
    assert {step.idea.model for step in written.values()} == {"small"}
    assert written["No end of it"].decision == "failed"
    assert written["Half of it"].idea.key == "repair:1:llm:no-end-of-it"
    assert "matches" in questions[1][-1]["content"] or "SEARCH" in questions[1][-1]["content"]
    repairing = [turns for turns in questions if "yours that failed" in turns[1]["content"]]
    assert ["ZeroDivisionError" in turns[1]["content"] for turns in repairing] == [True]
    assert any("llm (small) proposes; the search fills the gaps" in line for line in node.said)
    # To the token; a page is nothing that a model said.
    answer = TOKENS_IN + TOKENS_OUT
    assert written.pop(first).idea.tokens == 2 * answer
    assert {step.idea.tokens for step in written.values()} == {answer}
    cost = arnode_json(copied, "status")["cost"]
    assert cost["tokens_today"] >= (2 + len(written)) * answer
    assert cost["usd_today"] == 0
    found = traces_of(copied)
    assert [refusal for refusal, _ in found["Off by 7"]] == [None, None, None, "unfit", *[None] * 3]
    kinds = ["prompt", "prompt", "answer", "refusal", "reply", "answer", "edit"]
    assert [kind for _, kind in found["Off by 7"]] == kinds
    with Store.open_read_only(Home(copied)) as store:
        _, refused = visits(store.database, offset=0, limit=100, without_result=True)
    assert "fault" in {one.refusal for one in refused}


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_coding_agent_edits_and_its_edit_is_run(copied: Path, tmp_path: Path) -> None:
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    (copied / "config.toml").write_text(
        f'agent = "command"\nagent_command = ["{sys.executable}", "{script}", "{{folder}}"]\n'
    )

    def written() -> list[tuple[str, str]]:
        steps = [step for step in steps_of(copied) if step.idea.proposer == "command"]
        return [(step.title, step.idea.why) for step in steps]

    with running_node(copied, "--network", "none") as node:
        node.wait_until(lambda: bool(written()))
        node.interrupt()
        assert node.end() == 0
    assert written() == [("Nearer", "It may do.")]
    patch = arnode_json(copied, "log")["experiments"]
    assert "command" in {entry["origin"] for entry in patch}
    assert [kind for _, kind in traces_of(copied)["Nearer"]] == ["prompt", "edit"]


def test_a_model_without_its_key_is_said_before_anything_starts(tmp_path: Path) -> None:
    words = ("start", *UNHURRIED_FLAGS, "--network", "none", "--agent", "gpt-5")
    said = fault_of(tmp_path / "home", *words, code=6, env={"OPENAI_API_KEY": ""})
    assert "gpt-5 needs an API key, but OPENAI_API_KEY is not set" in said


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_models_one_with_a_text_of_its_own_share_the_experiments(copied: Path) -> None:
    """Each gets its own questions, both are tried, and both are listed separately."""
    before = len(steps_of(copied))
    programs = copied / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "unhurried.bold.md").write_text("Be bold, whatever it takes.")
    numbers = itertools.count(-1, -1)

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        """Answer every question with another number."""
        return await off_by(next(numbers))(server, request)

    def written() -> list[ExperimentStep]:
        return [step for step in steps_of(copied)[before:] if step.idea.proposer == "llm"]

    with LlmServer(reply) as server:
        settings = {"ARNODE_AGENT": "small,small#bold,other", "ARNODE_LLM_URL": server.url}
        with running_node(copied, "--network", "none", env=settings, command=LIGHT_COMMAND) as node:
            node.wait_until(lambda: len({step.idea.arm for step in written()}) == 3)
            node.interrupt()
            assert node.end() == 0
        questions = server.questions
    who = "llm (small), llm (small) with `bold`, llm (other) propose; the search fills the gaps"
    assert any(who in line for line in node.said)
    bold = [one for one in questions if "Be bold, whatever it takes." in str(one["messages"])]
    assert {one["model"] for one in questions} == {"small", "other"}
    assert {one["model"] for one in bold} == {"small"}
    origins = {step.idea.arm: (step.idea.model, step.idea.program) for step in written()}
    assert set(origins) == {"small", "small#bold", "other"}
    assert origins["small"][0] == origins["small#bold"][0] == "small"
    assert origins["small"][1] == origins["other"][1] != origins["small#bold"][1]
    (line,) = arnode_json(copied, "report")["lines"]
    reported = {(one["model"], one["program"]): one for one in line["origins"] if one["model"]}
    assert len(reported) == 3
    assert all(one["tried"] for one in reported.values())
    calls = arnode_json(copied, "agent", "spending")["calls"]
    assert {"small", "small#bold", "other"} <= {one["model"] for one in calls}
