"""The proposers in `arnode doctor`."""

import os
from pathlib import Path

import pytest

from agent.completion import CompletionFault, FaultKind
from node.home.clock import clock_ms
from node.home.config import Config
from node.home.home import Home
from node.maintenance.doctor import examine
from node.proposing.budget import spent_today
from node.proposing.choice import ModelChoice, OwnChoice, ProgramChoice, arms_of
from node.proposing.diagnosis import Diagnosis, diagnose, hint_for
from node.proposing.keys import ApiKeys
from node.proposing.servers import OLLAMA_URL
from node.store.store import Store
from node.terminal.progress import silent
from tests.llm_server import LlmServer, refuses, says
from tests.workers import KEY, KEYS, configured

pytestmark = pytest.mark.usefixtures("light_worker")

HOSTED = ModelChoice(name="gpt-5", model="gpt-5", url=None)
OLLAMA = ModelChoice(name="ollama:m", model="openai/m", url=OLLAMA_URL)
SERVER = ModelChoice(name="m", model="openai/m", url="http://127.0.0.1:1/v1")


def found(home: Home, config: Config, path: Path | None = None) -> Diagnosis:
    env = {"PATH": str(path) if path else os.environ["PATH"]}
    return diagnose(home, config, arms_of(config)[0].choice, KEYS, env, silent)


def test_the_built_in_search_needs_nothing(home: Home) -> None:
    assert found(home, Config()) == Diagnosis(status="ok", detail="search: uses no model")
    assert isinstance(arms_of(Config())[0].choice, OwnChoice)


def test_a_program_is_there_or_it_is_said_that_it_is_not(home: Home, tmp_path: Path) -> None:
    own = Config(agent=("command",), agent_command=("my-agent", "-x"))
    for config, name in ((Config(agent=("codex",)), "codex"), (own, "my-agent")):
        assert isinstance(arms_of(config)[0].choice, ProgramChoice)
        missing = found(home, config, tmp_path)
        assert missing.status == "problem"
        assert name in missing.detail
        assert missing.hint
    (tmp_path / "my-agent").write_text("#!/bin/sh\n")
    (tmp_path / "my-agent").chmod(0o755)
    assert found(home, own, tmp_path).status == "ok"


def test_a_model_is_asked_for_real_and_what_it_took_is_counted(home: Home) -> None:
    with Store.open(home):
        pass
    with LlmServer(says("ready", usage=(11, 7))) as server:
        reported = found(home, configured(server.url))
    assert (reported.status, reported.hint) == ("ok", "")
    assert "small answers in" in reported.detail
    assert "its tokens are free, 8192 tokens of context" in reported.detail
    (asked,) = server.questions
    assert asked["max_tokens"] <= 64
    with Store.open_read_only(home) as store:
        assert spent_today(store, clock_ms()).tokens == 18


def test_a_wrong_name_is_shown_which_are_right_and_no_home_is_made(home: Home) -> None:
    with LlmServer(refuses(404, "model `small` not found"), models=["a", "b"]) as server:
        reported = found(home, configured(server.url))
    assert reported.status == "problem"
    assert "answered 404: model `small` not found" in reported.detail
    assert reported.hint == "the server has a, b: name one with `--agent`"
    assert not home.root.exists()
    assert KEY not in str(reported)


@pytest.mark.parametrize(
    ("kind", "choice", "config", "words"),
    [
        ("unauthorized", HOSTED, Config(), "set OPENAI_API_KEY"),
        ("unauthorized", SERVER, Config(), "`llm_key`"),
        ("unauthorized", SERVER, Config(llm_key="MINE"), "set MINE"),
        ("unknown_model", HOSTED, Config(), "`--agent provider/model`"),
        ("unreachable", OLLAMA, Config(), "ollama serve"),
        ("unreachable", SERVER, Config(), "fix `llm_url`"),
        ("unreachable", HOSTED, Config(), "network"),
        ("garbage", SERVER, Config(), "end in /v1"),
        ("over_budget", HOSTED, Config(), "`usd_per_day`"),
        ("overflow", HOSTED, Config(), "context"),
        ("server", HOSTED, Config(), "try again"),
    ],
)
def test_each_fault_has_its_fix(
    kind: FaultKind, choice: ModelChoice, config: Config, words: str
) -> None:
    assert words in hint_for(CompletionFault(kind=kind, detail=""), config, choice, ApiKeys({}))


def test_doctor_looks_at_who_proposes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARNODE_AGENT", "command")
    check = next(check for check in examine(home) if check.name == "agent")
    assert check.status == "problem"
    assert "no command is set" in check.detail
    assert "agent_command" in check.hint
