"""From the settings to a coding agent: which program, with what of the user's, and its faults."""

import ast
import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.proposal import Context, Proposal
from agent.source.capabilities import Checked
from node.home.config import Config
from node.home.home import Home
from node.proposing.command import COMMANDS, command_fault, command_proposer, terms_of
from node.proposing.presets import PRESETS
from protocol.errors import ConfigurationError, SafetyError
from protocol.source import Source
from tests.workers import passing_budget
from trainer.sandbox import tier
from trainer.sandbox.tier import Tier

SOURCE = Source.of({"train.py": b"x = 1\n"})
CONTEXT = Context(
    source=SOURCE, editable=("train.py",), hyperparameters=(), moves=(), history=(),
    tried=lambda _mark: False, seed=1,
)  # fmt: skip
# Writes what it was started with into the file that it is to edit.
PROGRAM = f"""#!{sys.executable}
import os, sys
from pathlib import Path
seen = sorted(str(path.relative_to(Path.home())) for path in Path.home().rglob("*"))
Path("train.py").write_text(repr((sys.argv[1:], dict(os.environ), seen)))
"""


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A home in which every coding agent is installed, as their installers do it."""
    for name in PRESETS:
        version = tmp_path / ".local" / "share" / name / "versions" / "1.0"
        version.parent.mkdir(parents=True)
        version.write_text(PROGRAM)
        version.chmod(0o755)
        link = tmp_path / ".local" / "bin" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(version)
    return tmp_path


def variables(user: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(user), "PATH": f"{user}/.local/bin:/usr/bin:/bin", **more}


def node_of(user: Path) -> Home:
    home = Home(user / ".arnode")
    home.prepare()
    return home


def fault(user: Path, env: dict[str, str] | None = None, **settings: Any) -> tuple[str, str]:
    found = command_fault(
        settings["agent"][0], Config(**settings), node_of(user), env=env or variables(user)
    )
    assert found is not None
    return found


def started(user: Path, config: Config, env: dict[str, str]) -> tuple[list[str], Any, list[str]]:
    """Return the words, variables and files of the home that the program was started with."""

    async def check(_source: Source) -> Checked:
        return Checked(fingerprint=b"m" * 32)

    with passing_budget(config) as budget:
        proposer = command_proposer(
            config.agent[0],
            config,
            node_of(user),
            env=env,
            prompt=lambda _: "Go.",
            check=check,
            budget=budget,
        )
        said = asyncio.run(proposer.propose(CONTEXT))
    assert isinstance(said, Proposal), said
    assert said.model == config.agent[0]
    words, environment, seen = ast.literal_eval(said.source["train.py"].decode())
    return words, environment, [name for name in seen if not name.startswith(".local")]


def test_claude_gets_its_words_its_log_in_and_its_own_key(user: Path) -> None:
    (user / ".claude" / "projects").mkdir(parents=True)
    for name in ("projects/secret", ".credentials.json", "settings.json"):
        (user / ".claude" / name).touch()
    env = variables(user, ANTHROPIC_API_KEY="a", OPENAI_API_KEY="o", LANG="C.UTF-8", ARNODE_X="x")
    words, environment, seen = started(user, Config(agent=("claude",)), env)
    assert words == [
        "-p", "Go.", "--permission-mode", "acceptEdits",
        "--tools", "Read,Edit,Write",
        "--allowedTools", "Read(./**),Edit(./**)",
        "--disallowedTools", "Bash,PowerShell,Agent,Task,WebFetch,WebSearch,NotebookEdit",
        "--strict-mcp-config", "--no-session-persistence",
        "--output-format", "stream-json", "--verbose", "--max-budget-usd", "0.5",
    ]  # fmt: skip
    assert environment["ANTHROPIC_API_KEY"] == "a"
    assert environment["LANG"] == "C.UTF-8"
    assert "OPENAI_API_KEY" not in environment
    assert "ARNODE_X" not in environment
    assert environment["HOME"] == str(user)
    assert seen == [".claude", ".claude/.credentials.json", ".claude/settings.json"]


def test_a_key_of_the_nodes_own_is_passed_only_if_it_is_listed(user: Path) -> None:
    env = variables(user, ANTHROPIC_API_KEY="a")
    config = Config(agent=("claude",), llm_key="ANTHROPIC_API_KEY")
    assert "ANTHROPIC_API_KEY" not in started(user, config, env)[1]
    config = Config(
        agent=("claude",), llm_key="ANTHROPIC_API_KEY", agent_variables=("ANTHROPIC_API_KEY",)
    )
    assert started(user, config, env)[1]["ANTHROPIC_API_KEY"] == "a"


def test_codex_has_no_shell_and_is_shown_what_it_may_take(user: Path) -> None:
    (user / ".codex").mkdir()
    (user / ".codex" / "auth.json").touch()
    config = Config(agent=("codex",), agent_usd=2.0, llm_usd_in=4.0, llm_usd_out=10.0)
    words, environment, seen = started(user, config, variables(user, OPENAI_API_KEY="o"))
    assert words[:6] == [
        "exec", "--json", "--ephemeral", "--skip-git-repo-check", "--sandbox", "danger-full-access",
    ]  # fmt: skip
    assert {"features.shell_tool=false", "features.unified_exec=false"} < set(words)
    limit, prompt = words[-2:]
    assert "enforce_limit=true,limit_tokens=250000," in limit
    assert "sampling_token_weight=2.5,prefill_token_weight=1.0" in limit
    assert prompt == "Go."
    assert seen == [".codex", ".codex/auth.json"]
    # Who is logged in is not made to pay by a key that is for something else.
    assert not {"OPENAI_API_KEY", "CODEX_API_KEY"} & set(environment)


def test_codex_without_a_log_in_gets_the_key_under_the_name_it_looks_for(user: Path) -> None:
    _, environment, _ = started(user, Config(agent=("codex",)), variables(user, OPENAI_API_KEY="o"))
    assert environment["CODEX_API_KEY"] == "o"
    assert "OPENAI_API_KEY" not in environment
    env = variables(user, OPENAI_API_KEY="o", CODEX_API_KEY="c")
    assert started(user, Config(agent=("codex",)), env)[1]["CODEX_API_KEY"] == "c"


def test_codex_is_given_its_server_in_words(user: Path) -> None:
    env = variables(user, CODEX_API_KEY="c", OPENAI_BASE_URL='http://127.0.0.1:8/"v1"')
    words, environment, _ = started(user, Config(agent=("codex",)), env)
    assert words[-3:] == ["-c", r'openai_base_url="http://127.0.0.1:8/\"v1\""', "Go."]
    assert "OPENAI_BASE_URL" not in environment


def test_an_address_with_a_password_is_put_into_no_list_of_processes(user: Path) -> None:
    env = variables(user, CODEX_API_KEY="c", OPENAI_BASE_URL="http://me:secret@127.0.0.1:8/v1")
    message, hint = fault(user, env, agent=("codex",))
    assert "OPENAI_BASE_URL contains a user name or a password" in message
    assert "secret" not in message
    assert "~/.codex/config.toml" in hint


@pytest.mark.parametrize(
    ("settings", "variable", "is_paid"),
    [
        ({"agent": ("claude",)}, None, False),
        ({"agent": ("claude",)}, "ANTHROPIC_API_KEY", True),
        ({"agent": ("claude",), "agent_variables": ("LANG",)}, "LANG", True),
        ({"agent": ("claude",), "agent_usd": 0.0}, "ANTHROPIC_API_KEY", False),
        ({"agent": ("codex",)}, "OPENAI_BASE_URL", True),
        ({"agent": ("codex",)}, None, False),
        ({"agent": ("aider",)}, None, True),
    ],
)
def test_what_may_cost_by_the_token_counts(
    user: Path, settings: dict[str, Any], variable: str | None, is_paid: bool
) -> None:
    for name in (".claude/.credentials.json", ".codex/auth.json"):
        (user / name).parent.mkdir(exist_ok=True)
        (user / name).write_text("{}")
    env = variables(user, **({variable: "x"} if variable else {}))
    config = Config(**settings)
    assert terms_of(config.agent[0], config, node_of(user), env=env).is_paid == is_paid


def test_aider_is_given_the_files(user: Path) -> None:
    env = variables(user, AIDER_MODEL="m", OPENAI_API_KEY="o")
    config = Config(agent=("aider",), agent_variables=("OPENAI_API_KEY",))
    words, environment, _ = started(user, config, env)
    assert words[0] == "--message-file"
    assert words[1].endswith("/.arnode/prompt.md")
    assert words[-1] == "train.py"
    assert (environment["AIDER_MODEL"], environment["OPENAI_API_KEY"]) == ("m", "o")


def test_a_presets_words_may_be_the_users_own(user: Path) -> None:
    config = Config(
        agent=("claude",), agent_command=("claude", "--model", "opus", "-p", "{prompt}")
    )
    assert started(user, config, variables(user))[0] == ["--model", "opus", "-p", "Go."]


def test_a_folder_that_is_named_is_there_as_a_whole(user: Path) -> None:
    (user / ".tool" / "in").mkdir(parents=True)
    config = Config(agent=("claude",), agent_folders=("~/.tool", str(user / ".tool" / "in")))
    assert started(user, config, variables(user))[2] == [".tool", ".tool/in"]


def test_a_home_behind_a_link_is_the_same_home(user: Path, tmp_path_factory: Any) -> None:
    link = tmp_path_factory.mktemp("links") / "home"
    link.symlink_to(user)
    (user / ".tool").mkdir()
    config = Config(agent=("claude",), agent_folders=("~/.tool", f"{link}/.tool"))
    assert started(link, config, variables(link))[2] == [".tool"]


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_not_installed_is_said_with_how_to_get_it(user: Path, name: str) -> None:
    message, hint = fault(user, env={"HOME": str(user), "PATH": "/usr/bin"}, agent=(name,))
    assert message == f"the program `{name}` was not found"
    assert hint == PRESETS[name].hint


def test_no_log_in_is_said(user: Path) -> None:
    message, hint = fault(user, agent=("claude",))
    assert message == "no log-in of claude was found"
    assert "ANTHROPIC_API_KEY" in hint
    config = Config(agent=("claude",))
    env = variables(user, ANTHROPIC_API_KEY="a")
    assert command_fault("claude", config, node_of(user), env=env) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, '`agent` is "command" and `agent_command` is empty'),
        ({"agent_command": ("no-such", "x")}, "the program `no-such` was not found"),
        ({"agent_folders": ("~/.none",)}, "does not exist"),
        ({"agent_folders": ("/",)}, "not a folder in your home"),
        ({"agent_folders": ("~/",)}, "not a folder in your home"),
        ({"agent_folders": ("~/.arnode/journal",)}, "inside the node's home"),
        ({"agent_folders": (".claude",)}, "not a folder in your home"),
        ({"agent_variables": ("NOT_SET",)}, "the variable NOT_SET in `agent_variables` is not set"),
    ],
)
def test_settings_that_cannot_be_meant_are_explained(
    user: Path, settings: dict[str, tuple[str, ...]], message: str
) -> None:
    whole = settings if not settings or "agent_command" in settings else {
        "agent_command": ("sh", "x"), **settings
    }  # fmt: skip
    reported, hint = fault(user, agent=("command",), **whole)
    assert message in reported
    assert hint


def test_what_is_wrong_for_certain_stops_the_start(user: Path) -> None:
    def make(env: dict[str, str], **settings: Any) -> None:
        async def check(_source: Source) -> Checked:
            raise AssertionError

        with passing_budget() as budget:
            command_proposer(
                settings["agent"][0],
                Config(**settings),
                node_of(user),
                env=env,
                prompt=str,
                check=check,
                budget=budget,
            )

    with pytest.raises(ConfigurationError, match="was not found"):
        make({"HOME": str(user), "PATH": "/usr/bin"}, agent=("codex",))
    with pytest.raises(ConfigurationError, match="HOME is /"):
        make({"HOME": "/", "PATH": "/usr/bin"}, agent=("command",), agent_command=("sh",))
    make(variables(user), agent=("codex",))  # that there is no log-in may only seem so


@pytest.mark.parametrize(
    ("found", "abi", "reason"),
    [
        (Tier(name="none", detail="nothing", hint="hint"), 7, "no sandbox, no command: nothing"),
        (Tier(name="container", detail="", hint="hint"), 2, "Linux 6.2 or newer can"),
        (Tier(name="partial", detail="", hint="hint"), 5, "Linux 6.12 or newer can"),
    ],
)
def test_where_nothing_holds_a_command_none_is_run(
    user: Path, found: Tier, abi: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "probe_tier", lambda: found)
    monkeypatch.setattr("trainer.agent_sandbox.agent_run.landlock_abi", lambda: abi)
    monkeypatch.setattr("trainer.agent_sandbox.agent_run.can_scope_signals", lambda: abi >= 6)
    message, hint = fault(user, agent=("claude",))
    assert reason in message
    assert hint == "hint"
    with pytest.raises(SafetyError):
        started(user, Config(agent=("claude",)), variables(user))


def test_these_are_the_agents_that_are_programs() -> None:
    assert COMMANDS == ("claude", "codex", "aider", "command")
