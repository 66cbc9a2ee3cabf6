"""Values of `agent`, and the finds of `auto`: servers on loopback, programs on a PATH."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.commands.node_control import start
from node.home.agents import AGENTS, FORMS
from node.home.config import Config
from node.home.home import Home
from node.home.settings_in_force import load_config
from node.proposing.choice import (
    Arm,
    Choice,
    Chosen,
    ModelChoice,
    OwnChoice,
    ProgramChoice,
    arms_of,
    choose,
    lender,
)
from node.proposing.keys import ApiKeys
from node.proposing.opening import require_texts
from node.proposing.servers import OLLAMA_URL, models_at, ollama_models
from protocol.errors import ConfigurationError
from tests.llm_server import LlmServer, says

NO_KEYS = ApiKeys({})
NOWHERE = "http://127.0.0.1:1/v1"  # nothing listens at port 1
LAN = "http://192.0.2.1:8080/v1"


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        (Config(), OwnChoice(name="search")),
        (Config(agent=("none",)), OwnChoice(name="none")),
        (Config(agent=("codex",)), ProgramChoice(name="codex")),
        (Config(agent=("command",), agent_command=("x",)), ProgramChoice(name="command")),
        (
            Config(agent=("ollama:qwen3:8b",)),
            ModelChoice(name="ollama:qwen3:8b", model="openai/qwen3:8b", url=OLLAMA_URL),
        ),
        (
            Config(agent=("ollama/qwen3",), llm_url=LAN),
            ModelChoice(name="ollama:qwen3", model="openai/qwen3", url=LAN),
        ),
        (
            Config(agent=("anthropic/claude-sonnet-4-5",)),
            ModelChoice(
                name="anthropic/claude-sonnet-4-5", model="anthropic/claude-sonnet-4-5", url=None
            ),
        ),
        (
            Config(agent=("openai/gpt-oss-20b",), llm_url=LAN),
            ModelChoice(name="openai/gpt-oss-20b", model="openai/openai/gpt-oss-20b", url=LAN),
        ),
    ],
)
def test_a_setting_is_one_choice(config: Config, choice: Choice) -> None:
    assert arms_of(config)[0].choice == choice
    assert choose(config, NO_KEYS, {}).arms[0].choice == choice


def test_the_help_the_error_and_the_choice_know_the_same_agents(tmp_path: Path) -> None:
    words = [word for form in FORMS for word in form.words]
    shown = CliRunner().invoke(start, ["--help"]).output
    _, _, reported = " ".join(shown.split()).partition(" --agent ")
    assert reported.split()[0].split("|") == words
    for form in FORMS:
        assert form.meaning in reported.replace("- ", "-")
    with pytest.raises(ConfigurationError) as fault:
        load_config(tmp_path / "none.toml", env={}, flags={"agent": "cluade"})
    assert fault.value.hint is not None
    assert all(word in fault.value.hint for word in words)
    programs = {"claude", "codex", "aider", "command"}
    assert set(AGENTS) == {"search", "none", "auto", *programs}
    for word in AGENTS:
        chosen = choose(
            Config(agent=(word,), agent_command=("x",)), NO_KEYS, {}, ollama_url=NOWHERE
        )
        expected = ProgramChoice if word in programs else OwnChoice
        assert isinstance(chosen.arms[0].choice, expected), word


@pytest.mark.parametrize("wrong", ["ollama:", "ollama/", "ollama:NAME", "MODEL", "Claude", ""])
def test_what_names_no_agent_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="`agent`"):
        load_config(tmp_path / "none.toml", env={"ARNODE_AGENT": wrong})


@pytest.mark.parametrize(
    "given",
    ["claude", ["search", "claude#bold"], "claude,claude#bold", "search ollama:a@1 ollama:a@2"],
)
def test_one_word_and_a_list_are_settings(tmp_path: Path, given: str | list[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"agent = {json.dumps(given)}\n")
    entries = given.replace(",", " ").split() if isinstance(given, str) else given
    assert load_config(path, env={}).config.agent == tuple(entries)
    flags = {"agent": tuple(entries)}
    assert load_config(tmp_path / "none.toml", env={}, flags=flags).config.agent == tuple(entries)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["search", "cluade"], "'cluade' is not a proposer"),
        (["search", "none"], "none cannot be combined with another proposer: remove one"),
        (["auto", "claude"], "auto cannot be combined with another proposer"),
        (["search", "claude", "search"], "search is named twice: remove one"),
        (["ollama:a", "ollama/a"], "ollama:a is named twice"),
        (["claude#bold", "claude#bold"], "claude#bold is named twice"),
        (["search#bold"], "search takes no instructions; write search"),
        (["claude#"], "use a-z, 0-9 and - after the #"),
        (["claude#Bold/x"], "use a-z, 0-9 and - after the #"),
        ([], "`agent`"),
    ],
)
def test_a_wrong_list_is_shown_what_is_wrong_and_what_is_taken(
    tmp_path: Path, given: list[str], expected: str
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"agent = {json.dumps(given)}\n")
    with pytest.raises(ConfigurationError) as fault:
        load_config(path, env={})
    assert expected in fault.value.message
    assert '["search", "claude#bold"]' in fault.value.hint


def test_each_of_a_list_is_an_arm_with_its_text() -> None:
    arms = arms_of(Config(agent=("search", "claude", "claude#bold", "small"), llm_url=LAN))
    assert [arm.name for arm in arms] == ["search", "claude", "claude#bold", "small"]
    assert [arm.text for arm in arms] == ["", "", "bold", ""]
    assert lender(arms) == arms[-1].choice
    assert lender(arms[:2]) == arms[0].choice


def test_one_command_is_one_agent_s() -> None:
    words = ("x",)
    with pytest.raises(ConfigurationError, match="has claude and codex"):
        arms_of(Config(agent=("claude", "codex"), agent_command=words))
    config = Config(agent=("claude", "command"), agent_command=words)
    assert [arm.settings(config).agent_command for arm in arms_of(config)] == [(), words]
    config = Config(agent=("search", "claude"), agent_command=words)
    assert {arm.settings(config).agent_command for arm in arms_of(config)} == {words}


def test_a_text_that_is_named_must_be_there(tmp_path: Path) -> None:
    home, tasks = Home(tmp_path), ["tiny"]
    arms = arms_of(Config(agent=("claude", "claude#bold")))
    with pytest.raises(ConfigurationError) as fault:
        require_texts(home, arms, tasks)
    path = home.programs / "tiny.bold.md"
    assert str(path) in fault.value.message
    path.parent.mkdir(parents=True)
    path.write_text("Be bold.")
    require_texts(home, arms, tasks)


def test_a_command_must_be_there() -> None:
    with pytest.raises(ConfigurationError, match="no command is set") as caught:
        arms_of(Config(agent=("command",)))
    assert "agent_command" in caught.value.hint


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer(says("never asked")) as server:
        yield server


def found(
    *,
    config: Config | None = None,
    keys: ApiKeys = NO_KEYS,
    path: Path | None = None,
    ollama: str = NOWHERE,
) -> Chosen:
    env = {"PATH": str(path) if path else ""}
    return choose(config or Config(agent=("auto",)), keys, env, ollama_url=ollama)


def programs(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_where_nothing_is_found_the_built_in_search_proposes() -> None:
    assert found() == Chosen(
        arms=(Arm(choice=OwnChoice(name="search")),), reason="search proposes: it needs no model"
    )


def test_the_one_model_of_the_server_that_is_set_is_taken(server: LlmServer) -> None:
    chosen = found(config=Config(agent=("auto",), llm_url=server.url))
    assert chosen.arms[0].choice == ModelChoice(name="small", model="openai/small", url=server.url)
    assert chosen.reason == f"small proposes: it is the only model of {server.url}"
    assert [one.path for one in server.requests] == ["/v1/models"]
    assert "authorization" not in server.requests[0].headers


def test_a_server_with_several_models_leaves_the_choice_to_the_user(
    server: LlmServer, tmp_path: Path
) -> None:
    server.models = ["a", "b"]
    config = Config(agent=("auto",), llm_url=server.url, llm_key="MINE")
    keys = ApiKeys({"MINE": "sk-1"})
    chosen = found(config=config, keys=keys, path=programs(tmp_path, "aider"))
    assert chosen.arms[0].choice == ProgramChoice(name="aider")
    assert "has 2 models (a, b): name one with `--agent MODEL`" in chosen.reason
    assert server.requests[0].headers["authorization"] == "Bearer sk-1"


def test_a_key_alone_names_no_model() -> None:
    chosen = found(keys=ApiKeys({"OPENAI_API_KEY": "sk-1"}))
    assert chosen.arms[0].choice == OwnChoice(name="search")
    assert "OPENAI_API_KEY is set; choose a model with `--agent MODEL`" in chosen.reason
    assert "sk-1" not in chosen.reason


def test_the_one_model_that_ollama_has_is_taken(server: LlmServer, tmp_path: Path) -> None:
    server.models = ["qwen3:8b"]
    chosen = found(ollama=server.url, path=programs(tmp_path, "claude"))
    assert chosen.arms[0].choice == ModelChoice(
        name="ollama:qwen3:8b", model="openai/qwen3:8b", url=server.url
    )
    assert [one.path for one in server.requests] == ["/api/tags"]


def test_of_several_models_of_ollama_none_is_taken(server: LlmServer) -> None:
    server.models = [f"m{number}" for number in range(9)]
    chosen = found(ollama=server.url)
    assert chosen.arms[0].choice == OwnChoice(name="search")
    assert "Ollama has 9 models (m0, m1, m2, m3, m4, …)" in chosen.reason


@pytest.mark.parametrize(
    ("names", "taken"),
    [("aider codex claude", "claude"), ("aider codex", "codex"), ("aider", "aider")],
)
def test_coding_agents_are_taken_in_an_order(tmp_path: Path, names: str, taken: str) -> None:
    chosen = found(path=programs(tmp_path, *names.split()))
    assert chosen.arms[0].choice == ProgramChoice(name=taken)  # type: ignore[arg-type]
    assert chosen.reason == f"{taken} proposes: it is installed"


def test_a_file_that_cannot_be_run_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "claude").write_text("")
    assert found(path=tmp_path).arms[0].choice == OwnChoice(name="search")


def test_what_a_server_lists_is_read_with_care(server: LlmServer) -> None:
    assert models_at(server.url) == ["small"]
    assert models_at(server.url + "/") == ["small"]
    assert models_at(server.url + "/nowhere") is None
    assert models_at(NOWHERE) is None
    server.models = ["x" * 121, "", "fine", 7]  # type: ignore[list-item]
    assert models_at(server.url) == ["fine"]
    assert ollama_models(server.url) == ["fine"]
