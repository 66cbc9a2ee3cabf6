"""Coding agents that arnode knows how to start: their words, their log-in, what they leave behind.

A preset gives a program as little of the user's home as its log-in takes. Where a log-in is renewed
in place its file is `kept`, so that the user stays logged in; settings are only `shown`, because
what they say (hooks, servers to start) would later run outside of any sandbox.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A program. `kept` and `shown` are names in the home, those that exist are used; `variables`
    are its own log-in's and are passed if they are set. `settings` are passed always, `ignored` are
    names of what it drops in a worktree. `mend` says how to get it and log in.
    """

    argv: tuple[str, ...]
    kept: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ignored: tuple[str, ...] = ()
    mend: str = ""


# What checking one's own edit leaves behind, whoever does it.
_BYTECODE: Final = "__pycache__"

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        # https://code.claude.com/docs/en/cli-reference, /permissions and /env-vars. It may read
        # nothing but the worktree, above all not its own log-in.
        "claude": Preset(
            argv=(
                "claude", "-p", "{prompt}", "--permission-mode", "acceptEdits",
                "--allowedTools", "Read(./**),Edit(./**)",
            ),
            kept=("~/.claude/.credentials.json",),
            shown=("~/.claude/settings.json",),
            variables=(
                "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL",
                "ANTHROPIC_MODEL", "CLAUDE_CODE_OAUTH_TOKEN",
            ),
            settings=MappingProxyType({"DISABLE_AUTOUPDATER": "1"}),
            ignored=(".claude", _BYTECODE),
            mend="install Claude Code and run `claude` once to log in, or set ANTHROPIC_API_KEY",
        ),
        # https://developers.openai.com/codex/noninteractive and /codex/cli/reference. Its own
        # bubblewrap cannot be had inside ours, its older Landlock can.
        "codex": Preset(
            argv=(
                "codex", "exec", "--sandbox", "workspace-write", "--skip-git-repo-check",
                "-c", "features.use_legacy_landlock=true", "{prompt}",
            ),
            kept=("~/.codex/auth.json",),
            shown=("~/.codex/config.toml",),
            variables=("CODEX_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
            ignored=(".codex", _BYTECODE),
            mend="install Codex and run `codex login`, or set CODEX_API_KEY",
        ),
        # https://aider.chat/docs/config/options.html. It has no log-in of its own but providers'
        # keys, which the user lists.
        "aider": Preset(
            argv=(
                "aider", "--message-file", "{prompt_file}", "--yes-always", "--no-auto-commits",
                "--no-git", "--no-check-update", "--no-show-release-notes", "--analytics-disable",
                "--no-suggest-shell-commands", "--no-detect-urls", "--no-pretty", "--no-stream",
                "{files}",
            ),
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
OWN: Final = Preset(argv=(), ignored=(_BYTECODE,), mend="set `agent_command` in config.toml")
