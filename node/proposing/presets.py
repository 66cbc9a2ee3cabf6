"""Presets of known coding agents: their arguments, their log-in, the files that they leave behind.

A preset gives an agent only those files of the user's home that its log-in needs. If the agent
renews a log-in in place, the log-in's file is in `kept`, so that the user stays logged in. Files of
settings are in `shown`, without write access: commands that an agent wrote there would later run
outside any sandbox. Agents cannot start programs: they only have tools to read and write files.
Tested with Claude Code 2.1.332, Codex 0.171.0 and aider 0.86.2 (`tests/programs`).
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from agent.reported_usage import Form
from agent.worker.prices import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """The settings with which a node runs the program of a coding agent.

    A visit is one call of the program, for one proposal. The variables are environment variables.

    - `argv`: the command. `{usd}` is the cost in USD at which the program must end a visit.
      `{tokens}` is the same limit in prompt tokens at `price`. One answer token costs as much as
      `{weight}` prompt tokens.
    - `form`: the format of the program's output.
    - `price`: the price of a token, used if the program reports tokens but no cost.
    - `kept`, `shown`: paths in the user's home that the program can write, or only read. Missing
      paths are skipped.
    - `variables`: variables for the log-in, passed to the program if the user has set them.
    - `settings`: variables that are always passed, with their values.
    - `renamed`: variables that the program gets under another name.
    - `where`: for a variable of the user, arguments that go before the last argument of `argv`.
      `{value}` in them is the variable's value, quoted as in JSON.
    - `paid`, `subscription`: a visit costs USD if a variable in `paid` is set. Otherwise it is free
      if a variable or a path in `subscription` exists (`is_paid`).
    - `ignored`: names of files that the program leaves in its working folder. They are no edits.
    - `is_shown_files`: True if the program cannot read files, so that the prompt contains them.
    - `hint`: how to install the program and log in.
    """

    argv: tuple[str, ...]
    form: Form
    price: Price
    kept: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    where: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    paid: tuple[str, ...] = ()
    subscription: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    is_shown_files: bool = False
    hint: str = ""


# Files that remain if an agent checks its own edit.
_BYTECODE: Final = "__pycache__"
# Entries of a program's settings that make it use a paid key or another server.
_KEYS: Final = (
    "apiKeyHelper", "env", "OPENAI_API_KEY", "model_provider", "model_providers", "openai_base_url",
    "profile",
)  # fmt: skip
# For an unknown price: that of the most expensive models that these programs offer.
_GUESSED: Final = Price(usd_nano_in=5_000, usd_nano_out=30_000)

# Codex limits what a session reads and writes in tokens only.
_ROLLOUT_BUDGET: Final = (
    "features.rollout_budget={enabled=true,enforce_limit=true,limit_tokens={tokens},"
    "reminder_at_remaining_tokens=[1],sampling_token_weight={weight},prefill_token_weight=1.0}"
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        # https://code.claude.com/docs/en/cli-reference, /permissions and /env-vars. It may read
        # only the worktree, above all not its own log-in. `--tools` limits the available tools:
        # `acceptEdits` alone let it run `sed -i` in a shell.
        "claude": Preset(
            argv=(
                "claude", "-p", "{prompt}", "--permission-mode", "acceptEdits",
                "--tools", "Read,Edit,Write",
                "--allowedTools", "Read(./**),Edit(./**)",
                "--disallowedTools", "Bash,PowerShell,Agent,Task,WebFetch,WebSearch,NotebookEdit",
                "--strict-mcp-config", "--no-session-persistence",
                "--output-format", "stream-json", "--verbose", "--max-budget-usd", "{usd}",
            ),
            form="claude",
            price=_GUESSED,
            kept=("~/.claude/.credentials.json",),
            shown=("~/.claude/settings.json",),
            variables=(
                "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL",
                "ANTHROPIC_MODEL", "CLAUDE_CODE_OAUTH_TOKEN",
            ),
            settings=MappingProxyType(
                {
                    "DISABLE_AUTOUPDATER": "1",
                    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "32000",  # limits the turn that passes a limit
                    "CLAUDE_CODE_MAX_RETRIES": "3",
                }
            ),
            paid=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"),
            subscription=("CLAUDE_CODE_OAUTH_TOKEN", "~/.claude/.credentials.json"),
            ignored=(".claude", _BYTECODE),
            hint="install Claude Code and run `claude` once to log in, or set ANTHROPIC_API_KEY",
        ),
        # https://developers.openai.com/codex/noninteractive and /codex/cli/reference. It has no
        # sandbox of its own here: its bubblewrap does not work inside ours, and it refuses Landlock
        # alone since 0.169. So it has no shell, and the prompt contains the files.
        "codex": Preset(
            argv=(
                "codex", "exec", "--json", "--ephemeral", "--skip-git-repo-check",
                "--sandbox", "danger-full-access", "--ignore-rules",
                "-c", "features.shell_tool=false", "-c", "features.unified_exec=false",
                "-c", "features.multi_agent=false", "-c", "features.apps=false",
                "-c", "features.plugins=false", "-c", "features.hooks=false",
                "-c", "mcp_servers={}", "-c", 'web_search="disabled"',
                "-c", "features.unbounded_connection_retries=false",
                "-c", _ROLLOUT_BUDGET,
                "{prompt}",
            ),
            form="codex",
            price=_GUESSED,
            kept=("~/.codex/auth.json",),
            shown=("~/.codex/config.toml",),
            variables=("CODEX_API_KEY", "OPENAI_API_KEY"),
            settings=MappingProxyType({"RUST_LOG": "off"}),
            renamed=MappingProxyType({"OPENAI_API_KEY": "CODEX_API_KEY"}),
            where=MappingProxyType({"OPENAI_BASE_URL": ("-c", "openai_base_url={value}")}),
            paid=("CODEX_API_KEY",),
            subscription=("~/.codex/auth.json",),
            ignored=(".codex", _BYTECODE),
            is_shown_files=True,
            hint="install Codex and run `codex login`, or set CODEX_API_KEY",
        ),
        # https://aider.chat/docs/config/options.html. It has no log-in of its own but providers'
        # keys, which the user lists.
        "aider": Preset(
            argv=(
                "aider", "--message-file", "{prompt_file}", "--yes-always", "--no-auto-commits",
                "--no-git", "--no-check-update", "--no-show-release-notes", "--analytics-disable",
                "--no-suggest-shell-commands", "--no-detect-urls", "--no-auto-lint",
                "--no-auto-test", "--no-show-model-warnings", "--no-pretty", "--no-stream",
                "{files}",
            ),
            form="aider",
            price=_GUESSED,
            shown=(
                "~/.aider.conf.yml", "~/.aider.model.settings.yml", "~/.aider.model.metadata.json",
                "~/.aider/oauth-keys.env",
            ),
            variables=(
                "AIDER_API_KEY", "AIDER_ANTHROPIC_API_KEY", "AIDER_MODEL", "AIDER_OPENAI_API_BASE",
                "AIDER_OPENAI_API_KEY",
            ),
            ignored=(".aider*", _BYTECODE),
            hint="install aider, then name a model and a key: `AIDER_MODEL=…` and "
            '`agent_variables = ["OPENAI_API_KEY"]` or what its provider needs',
        ),
    }
)  # fmt: skip
OWN: Final = Preset(
    argv=(),
    form="claude",
    price=_GUESSED,
    ignored=(_BYTECODE,),
    hint="set `agent_command` in config.toml",
)


def is_shown_files(name: str) -> bool:
    """Return True if the prompt of the agent with this name contains the files."""
    return PRESETS.get(name, OWN).is_shown_files


def is_paid(preset: Preset, *, user_home: Path, variables: Mapping[str, str]) -> bool:
    """Return True if a call of the agent costs USD, judging by its variables and files.

    A call on a subscription is free. In doubt return True: a needless USD limit does less harm than
    an unexpected bill.
    """
    if any(name in variables for name in preset.paid):
        return True
    has_one = any(
        (user_home / name[2:]).exists() if name.startswith("~/") else name in variables
        for name in preset.subscription
    )
    return not has_one or any(
        _names_a_key(user_home / name[2:]) for name in (*preset.kept, *preset.shown)
    )


def _names_a_key(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
        found: dict[str, Any] = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, RecursionError):
        return True
    return not isinstance(found, dict) or any(found.get(name) for name in _KEYS)
