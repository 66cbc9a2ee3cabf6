"""Coding agents that arnode knows how to start: their words, their log-in, what they leave behind.

A preset gives a program as little of the user's home as its log-in takes. Where a log-in is renewed
in place its file is `kept`, so that the user stays logged in; settings are only `shown`, because
what they say (hooks, servers to start) would later run outside of any sandbox. None may start a
program: what it gets is tools that read and write files. Tried against Claude Code 2.1.332, Codex
0.171.0 and aider 0.86.2 (`tests/programs`).
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from agent.told import Form
from agent.worker.prices import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A program. `kept` and `shown` are names in the home, those that exist are used; `variables`
    are its own log-in's and are passed if they are set. `settings` are passed always, `ignored` are
    names of what it drops in a worktree. `mend` says how to get it and log in.

    In a word of `argv`, `{usd}` is what a visit may cost until the program stops by itself, and
    `{tokens}` so much in tokens of a prompt at `price`, of which a token of an answer is
    `{weight}`. `price` is reckoned where the program tells its tokens alone. The words of `where`
    come before the last one if their variable is set, with its value quoted as in JSON.
    With one of the variables `paid` it costs by the token, without it and with one of
    `subscription` (variables and names in the home) it does not. `form` is that of what it prints.
    `is_shown_files`: it has no tool to read with, so that the prompt has the files.
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
    mend: str = ""


# What checking one's own edit leaves behind, whoever does it.
_BYTECODE: Final = "__pycache__"
# In a program's own files: what makes it pay by a key, or ask somebody else.
_KEYS: Final = (
    "apiKeyHelper", "env", "OPENAI_API_KEY", "model_provider", "model_providers", "openai_base_url",
    "profile",
)  # fmt: skip
# Where nobody says what a token costs: that of the dearest models that these programs offer.
_GUESSED: Final = Price(usd_nano_in=5_000, usd_nano_out=30_000)

# Codex counts what a session reads and writes in tokens alone.
_ROLLOUT_BUDGET: Final = (
    "features.rollout_budget={enabled=true,enforce_limit=true,limit_tokens={tokens},"
    "reminder_at_remaining_tokens=[1],sampling_token_weight={weight},prefill_token_weight=1.0}"
)

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        # https://code.claude.com/docs/en/cli-reference, /permissions and /env-vars. It may read
        # nothing but the worktree, above all not its own log-in. `--tools` is what there is at all:
        # `acceptEdits` alone let it run `sed -i` in a shell.
        "claude": Preset(
            argv=(
                "claude", "-p", "{prompt}", "--permission-mode", "acceptEdits",
                "--tools", "Read,Edit,Write",
                "--allowedTools", "Read(./**),Edit(./**)",
                "--disallowedTools", "Bash,PowerShell,Agent,Task,WebFetch,WebSearch,NotebookEdit",
                "--strict-mcp-config", "--no-session-persistence",
                "--output-format", "json", "--max-budget-usd", "{usd}",
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
                    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "32000",  # bounds the turn that passes a limit
                    "CLAUDE_CODE_MAX_RETRIES": "3",
                }
            ),
            paid=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"),
            subscription=("CLAUDE_CODE_OAUTH_TOKEN", "~/.claude/.credentials.json"),
            ignored=(".claude", _BYTECODE),
            mend="install Claude Code and run `claude` once to log in, or set ANTHROPIC_API_KEY",
        ),
        # https://developers.openai.com/codex/noninteractive and /codex/cli/reference. It has no
        # wall of its own here: its bubblewrap cannot be had inside ours, and Landlock alone it
        # refuses since 0.169. So it has no shell, and the prompt shows it the files.
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
            mend="install Codex and run `codex login`, or set CODEX_API_KEY",
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
            mend="install aider, then name a model and a key: `AIDER_MODEL=…` and "
            '`agent_variables = ["OPENAI_API_KEY"]` or whatever its provider needs',
        ),
    }
)  # fmt: skip
OWN: Final = Preset(
    argv=(),
    form="claude",
    price=_GUESSED,
    ignored=(_BYTECODE,),
    mend="set `agent_command` in config.toml",
)


def is_shown_files(name: str) -> bool:
    """Say whether the agent of this name is shown the files in its prompt."""
    return PRESETS.get(name, OWN).is_shown_files


def is_paid(preset: Preset, *, user_home: Path, variables: Mapping[str, str]) -> bool:
    """Say whether a visit costs USD, by the variables that are passed and the files it is given.

    It does not if it comes with a subscription that is paid anyway. Where that cannot be told for
    certain it costs: a limit in USD that holds too early is a nuisance, one that does not hold a
    bill.
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
