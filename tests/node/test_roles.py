"""A planner and a reviewer as the settings name them: real workers, a real server, real costs.

One server plays all models; whose question it is, it knows by the model's name.
"""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agent.completion import ModelCost
from agent.model.planner import Planned
from agent.model.reviewer import in_drawn_order
from agent.proposal import Context, NoProposal, Proposal
from node.home.config import Config
from node.home.home import Home
from node.home.settings_in_force import load_config
from node.maintenance import doctor
from node.proposing.choice import Arm, ModelChoice, arms_of
from node.proposing.keys import ApiKeys
from node.proposing.opening import Means, Proposers, open_proposers
from node.proposing.roles import roles_at_work, words_of_roles
from node.terminal.progress import silent
from protocol.errors import ConfigurationError
from tests.agent.contexts import context
from tests.agent.scripted import replacing
from tests.llm_server import TOKENS_IN, TOKENS_OUT, LlmServer, Reply, says
from tests.workers import LIMIT_S
from trainer.task_kinds import load_task

pytestmark = pytest.mark.usefixtures("light_worker")

URL = "http://127.0.0.1:1/v1"
NO_MEANS = Means(keys=ApiKeys({}), environment={})
DRAFTS = (
    replacing(("LAYERS = 2", "LAYERS = 3"), title="Deeper"),
    replacing(("WIDTH = 64", "WIDTH = 96"), title="Wider"),
    replacing(("HEADS = 4", "HEADS = 8"), title="More heads"),
)
WORKERS = 3  # each loads litellm
ONE = TOKENS_IN + TOKENS_OUT


def by_model(**scripts: list[Reply]) -> Reply:
    """Return a reply that is the next of the script of whichever model is asked."""

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        script = scripts[server.questions[-1]["model"]]
        return await script.pop(0)(server, request)

    return reply


def cost_lines(home: Home) -> list[tuple[str, int]]:
    """Return who was booked, and with how many tokens."""
    with closing(sqlite3.connect(home.store)) as database:
        return database.execute(
            "SELECT model, tokens_in + tokens_out FROM model_call ORDER BY id"
        ).fetchall()


async def opened(home: Home, config: Config, work: Any) -> None:
    task = load_task("tiny", data_dir=home.data)
    arms = arms_of(config)
    async with (
        asyncio.timeout(WORKERS * LIMIT_S),
        open_proposers(home, config, task, arms, NO_MEANS, silent) as proposers,
    ):
        await work(proposers)


@pytest.mark.timeout(WORKERS * LIMIT_S + 60)
def test_roles_are_asked_and_booked_by_their_names_until_the_day_is_spent(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    given: Context = context()
    shown = in_drawn_order(["Deeper", "Wider", "More heads"], seed=given.seed)  # type: ignore[list-item]
    third = shown.index("More heads") + 1  # type: ignore[arg-type]

    async def work(proposers: Proposers) -> None:
        assert proposers.planner is not None
        cost = ModelCost(calls=1, tokens_in=TOKENS_IN, tokens_out=TOKENS_OUT)
        planned = await proposers.planner.plan(given)
        assert planned == Planned(text="Look at the shape.", cost=cost)
        (writer,) = proposers.slow
        made = [await writer.proposer.propose(given) for _ in range(3)]
        assert [isinstance(one, Proposal) for one in made] == [True] * 3, made
        titles = [(one.title, one.model) for one in made if isinstance(one, Proposal)]
        assert titles == [("More heads", "small"), ("Deeper", "small"), ("Deeper", "small")]
        # Of the third slot one question was left of the day.
        assert [one.cost.calls for one in made] == [4, 4, 1]
        assert [one.cost.tokens_in + one.cost.tokens_out for one in made] == [4 * ONE, 4 * ONE, ONE]
        found = await proposers.planner.plan(given)
        assert isinstance(found, NoProposal)
        assert found.reason.startswith("over budget: today's use is 10 questions, and another")

    reply = by_model(
        small=[says(draft) for draft in (*DRAFTS, *DRAFTS, DRAFTS[0])],
        large=[says("AIM: Look at the shape.")],
        judge=[says(f"CHOICE: {third}\nWHY: It is free."), says("I like all of them.")],
    )
    with LlmServer(reply) as server:
        config = Config(
            agent=("small",),
            planner="large",
            reviewer="judge",
            llm_url=server.url,
            calls_per_day=10,
        )
        asyncio.run(opened(home, config, work))
        questions = server.questions
    names = ["large", *["small"] * 3, "judge", *["small"] * 3, "judge", "small"]
    assert [question["model"] for question in questions] == names
    roles = {"large": "planner", "judge": "reviewer"}
    assert cost_lines(home) == [(roles.get(name, name), ONE) for name in names]
    said = [record.message for record in caplog.records if "reviewer judge" in record.message]
    assert len(said) == 2
    assert "chose `More heads` of llm (small), not `" in said[0]
    assert "chose none of 3 proposals; the first proposal is run instead" in said[1]


@pytest.mark.parametrize(
    ("agent", "roles"),
    [
        (("small",), {"planner", "reviewer"}),
        (("search", "claude"), {"planner"}),
        (("search",), set()),
        (("none",), set()),
    ],
)
def test_a_role_is_filled_where_somebody_needs_it(agent: tuple[str, ...], roles: set[str]) -> None:
    config = Config(agent=agent, planner="large", reviewer="ollama:judge", llm_url=URL)
    found = roles_at_work(config, arms_of(config))
    assert set(found) == roles
    words = words_of_roles(config, arms_of(config))
    assert [("is not asked" in reported) for reported in words] == [False] * len(roles) + [True] * (
        2 - len(roles)
    )


def test_roles_are_models_like_any_other() -> None:
    config = Config(agent=("small",), planner="anthropic/claude-x", reviewer="ollama:judge")
    arms = (Arm(choice=ModelChoice(name="small", model="small", url=None)),)
    found = roles_at_work(config, arms)
    assert found["planner"] == ModelChoice(
        name="anthropic/claude-x", model="anthropic/claude-x", url=None
    )
    assert found["reviewer"].model == "openai/judge"
    assert roles_at_work(replace(config, planner=None, reviewer=None), arms) == {}
    assert words_of_roles(replace(config, planner=None, reviewer=None), arms) == []


@pytest.mark.timeout(LIMIT_S)
def test_doctor_asks_who_has_a_role(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coding agent is not installed; the planner is still asked, a reviewer is not."""
    monkeypatch.setenv("PATH", str(home.root))
    monkeypatch.setenv("ARNODE_AGENT", "aider")
    monkeypatch.setenv("ARNODE_PLANNER", "large")
    monkeypatch.setenv("ARNODE_REVIEWER", "judge")
    with LlmServer(says("ready")) as server:
        monkeypatch.setenv("ARNODE_LLM_URL", server.url)
        found = doctor._agent(home)
        assert [question["model"] for question in server.questions] == ["large"]
    assert found.status == "problem"
    assert "planner large answers in" in found.detail


@pytest.mark.parametrize("setting", ["planner", "reviewer"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        *(
            (word, f"{word} is not a language model")
            for word in ("search", "auto", "none", "claude")
        ),
        ("codex", "codex is not a language model"),
        ("command", "command is not a language model"),
        ("claude#bold", "'claude#bold' does not name a language model"),
        ("cluade", "'cluade' does not name a language model"),
        ("ollama:", "'ollama:' does not name a language model"),
        ("MODEL", "'MODEL' does not name a language model"),
        ("", "'' does not name a language model"),
    ],
)
def test_what_is_no_model_has_no_role(
    tmp_path: Path, setting: str, given: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as fault:
        load_config(tmp_path / "none.toml", env={f"ARNODE_{setting.upper()}": given})
    assert f"`{setting}`: {expected}" in fault.value.message
    assert "ollama:NAME" in (fault.value.hint or "")


def test_a_role_is_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('planner = "ollama:qwen3:8b"\nreviewer = "gpt-5-mini"\n')
    config = load_config(path, env={}).config
    assert (config.planner, config.reviewer) == ("ollama:qwen3:8b", "gpt-5-mini")
    assert (Config().planner, Config().reviewer) == (None, None)
