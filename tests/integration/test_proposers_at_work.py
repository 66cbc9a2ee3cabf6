"""Models and coding agents propose to a real node: what they write is run, and it never waits."""

import itertools
import re
import sys
import tomllib
from pathlib import Path

import pytest
from aiohttp import web

from node.home.home import Home
from node.line.experiment import ExperimentStep
from node.store.store import Store
from tests.conftest import DEAF_TASK
from tests.integration.nodes import DEAF_FLAGS, arnode, arnode_json, running_node
from tests.llm_server import TOKENS_IN, TOKENS_OUT, LlmServer, page, says

NARROWER = """\
TITLE: A narrower block
WHY: It has too many parameters for so few tokens.
train.py
<<<<<<< SEARCH
{search}
=======
MLP_RATIO = 3
>>>>>>> REPLACE
"""
BROKEN = """\
TITLE: No heads at all
WHY: To see what happens.
train.py
<<<<<<< SEARCH
HEADS = 4
=======
HEADS = 0
>>>>>>> REPLACE
"""
MENDED = """\
TITLE: Two heads
WHY: None cannot be divided by.
train.py
<<<<<<< SEARCH
HEADS = 0
=======
HEADS = 2
>>>>>>> REPLACE
"""
SLIMMER = """\
TITLE: A slimmer model
WHY: It may be too large.
train.py
<<<<<<< SEARCH
WIDTH = 64
=======
WIDTH = 48
>>>>>>> REPLACE
"""
SHALLOWER = """\
TITLE: A shallower model
WHY: It may be too deep.
train.py
<<<<<<< SEARCH
LAYERS = 2
=======
LAYERS = 1
>>>>>>> REPLACE
"""
OTHER_RATE = """\
TITLE: A rate of {rate}
WHY: It may be better.
train.py
<<<<<<< SEARCH
{search}
=======
LEARNING_RATE = {rate}
>>>>>>> REPLACE
"""
AGENT = """\
import sys
from pathlib import Path
source = Path(sys.argv[1], "train.py")
text = source.read_text()
assert "MLP_RATIO = 4" in text
source.write_text(text.replace("MLP_RATIO = 4", "MLP_RATIO = 3"))
Path(sys.argv[1], ".arnode", "title.txt").write_text("Narrower\\n\\nIt may do.\\n")
"""


def steps_of(home: Path) -> list[ExperimentStep]:
    """What was tried, in the order in which it was decided."""
    with Store.open_read_only(Home(home)) as store:
        (line,) = store.jobs.lines()
        jobs = store.jobs.closed_jobs(line.key, ExperimentStep)
        return [job.step for job in jobs]


@pytest.mark.timeout(600)
def test_a_model_proposes_is_corrected_mends_and_goes_away(copied: Path) -> None:
    before = len(steps_of(copied))
    script = [
        says(NARROWER.format(search="MLP_RATIO = 40")),  # matches nothing
        says(NARROWER.format(search="MLP_RATIO = 4")),
        says(BROKEN),
        says(SLIMMER),  # cheaper than the baseline: in a crowd none ends at a ceiling
        says(SHALLOWER),
    ]

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        """Answer what is asked: the next ideas are asked for before a crash is known."""
        if "A version of yours that failed" in server.questions[-1]["messages"][1]["content"]:
            script.clear()
            return await says(MENDED)(server, request)
        return await (script.pop(0) if script else page())(server, request)

    with LlmServer(reply) as server:
        settings = {"ARNODE_AGENT": "small", "ARNODE_LLM_URL": server.url}
        # What fills the gaps may come to a ceiling in a crowd, and then waits for a quiet minute.
        until = ("--max-experiments", "10", "--for", "3m")
        words = ("start", *DEAF_FLAGS, "--network", "none", *until)
        said = arnode(copied, *words, env=settings).stderr
        questions = [question["messages"] for question in server.questions]
    steps = steps_of(copied)[before:]
    written = {step.title: step for step in steps if step.proposer == "llm"}
    # One or two ideas are written before it is known that the one before them crashed.
    first, broken, *between, mended = written
    assert (first, broken, mended) == ("A narrower block", "No heads at all", "Two heads")
    assert between == ["A slimmer model", "A shallower model"][: len(between)]
    assert {step.model for step in written.values()} == {"small"}
    assert written["No heads at all"].decision == "failed"
    assert written["Two heads"].key == "repair:1:llm:no-heads-at-all"
    assert any(step.proposer == "knobs" for step in steps)
    assert "matches" in questions[1][-1]["content"] or "SEARCH" in questions[1][-1]["content"]
    mending = [turns for turns in questions if "yours that failed" in turns[1]["content"]]
    assert ["ZeroDivisionError" in turns[1]["content"] for turns in mending] == [True]
    assert "llm (small) proposes, knobs fill the gaps" in said
    assert "knobs go on meanwhile" in said
    # To the token; a page is nothing that a model said.
    answer = TOKENS_IN + TOKENS_OUT
    assert written.pop(first).tokens == 2 * answer
    assert {step.tokens for step in written.values()} == {answer}
    cost = arnode_json(copied, "status")["cost"]
    assert cost["tokens_today"] >= (2 + len(written)) * answer
    assert cost["usd_today"] == 0


@pytest.mark.timeout(600)
def test_a_coding_agent_edits_and_its_edit_is_run(copied: Path, tmp_path: Path) -> None:
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    (copied / "config.toml").write_text(
        f'agent = "command"\nagent_command = ["{sys.executable}", "{script}", "{{folder}}"]\n'
    )
    arnode(copied, "start", *DEAF_FLAGS, "--network", "none", "--max-experiments", "2")
    written = [step for step in steps_of(copied) if step.proposer == "command"]
    assert [(step.title, step.why) for step in written] == [("Narrower", "It may do.")]
    patch = arnode_json(copied, "log")["experiments"]
    assert "command" in {entry["origin"] for entry in patch}


def _program_in(system: str) -> str:
    return system.partition("# The owner's program")[2].partition("# How a change")[0]


@pytest.mark.timeout(600)
def test_a_running_node_says_what_its_model_is_asked_and_who_proposes(copied: Path) -> None:
    with LlmServer(page()) as server:
        settings = {
            "ARNODE_AGENT": "knobs,small",
            "ARNODE_LLM_URL": server.url,
            "ARNODE_LLM_CONTEXT": "16384",
        }
        with running_node(copied, "--network", "none", env=settings) as node:
            node.wait_until(lambda: bool(server.requests))
            told = arnode_json(copied, "propose", "--print-prompt")
            (line,) = arnode_json(copied, "status")["lines"]
            node.interrupt()
            node.end()
        asked = server.questions[0]["messages"]
    # Whatever happened since: both are told the owner's program.
    programs = [_program_in(turns[0]["content"]) for turns in (told["prompt"], asked)]
    assert programs[0] == programs[1] != ""
    assert told["who"] == "llm (small)"
    assert told["room"] == "24,576 characters, as its context and its price allow"
    assert [one["name"] for one in line["proposers"]] == ["knobs", "small"]


def test_a_model_without_its_key_is_said_before_anything_starts(home: Path) -> None:
    words = (
        "start",
        *DEAF_FLAGS,
        "--network",
        "none",
        "--agent",
        "gpt-5",
        "--max-experiments",
        "1",
    )
    said = arnode(home, *words, code=6, env={"OPENAI_API_KEY": ""}).stderr
    assert "gpt-5 needs an API key, and OPENAI_API_KEY is not set" in said


@pytest.mark.timeout(600)
def test_two_models_one_with_a_text_of_its_own_share_the_experiments(copied: Path) -> None:
    """Each is asked what is its to be asked, both are tried, and both stand apart afterwards."""
    before = len(steps_of(copied))
    programs = copied / "programs"
    programs.mkdir(exist_ok=True)
    task = tomllib.loads((DEAF_TASK / "task.toml").read_text())["name"]
    (programs / f"{task}.bold.md").write_text("Be bold, whatever it takes.")
    numbers = itertools.count(31, 7)

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        """Answer every question with another learning rate in place of the present one."""
        (found,) = re.findall(
            r"^LEARNING_RATE = \S+", server.questions[-1]["messages"][1]["content"], re.MULTILINE
        )
        answer = OTHER_RATE.format(search=found, rate=f"0.00{next(numbers)}")
        return await says(answer)(server, request)

    with LlmServer(reply) as server:
        settings = {"ARNODE_AGENT": "small,small#bold,other", "ARNODE_LLM_URL": server.url}
        until = ("--max-experiments", "16", "--for", "5m")
        words = ("start", *DEAF_FLAGS, "--network", "none", *until)
        said = arnode(copied, *words, env=settings).stderr
        questions = server.questions
    assert "llm (small), llm (small) told `bold`, llm (other) propose, knobs fill the gaps" in said
    bold = [one for one in questions if "Be bold, whatever it takes." in str(one["messages"])]
    assert {one["model"] for one in questions} == {"small", "other"}
    assert {one["model"] for one in bold} == {"small"}
    steps = [step for step in steps_of(copied)[before:] if step.proposer == "llm"]
    origins = {step.arm: (step.model, step.program) for step in steps}
    assert set(origins) == {"small", "small#bold", "other"}
    assert origins["small"][0] == origins["small#bold"][0] == "small"
    assert origins["small"][1] == origins["other"][1] != origins["small#bold"][1]
    (line,) = arnode_json(copied, "report")["lines"]
    told = {(one["model"], one["program"]): one for one in line["origins"] if one["model"]}
    assert len(told) == 3
    assert all(one["tried"] for one in told.values())
    calls = arnode_json(copied, "spending")["calls"]
    assert {"small", "small#bold", "other"} <= {one["model"] for one in calls}
