"""Billing of a coding agent's visit: a key by the token, or a subscription."""

from pathlib import Path

import pytest

from node.proposing.presets import OWN, PRESETS, is_paid


def pays(name: str, home: Path, *variables: str) -> bool:
    return is_paid(PRESETS[name], user_home=home, variables=dict.fromkeys(variables, "x"))


def put(home: Path, name: str, text: str) -> None:
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).write_text(text)


def test_a_log_in_is_a_subscription_and_a_key_next_to_it_is_not(tmp_path: Path) -> None:
    put(tmp_path, ".claude/.credentials.json", '{"claudeAiOauth": {}}')
    put(tmp_path, ".claude/settings.json", '{"model": "opus"}')
    put(tmp_path, ".codex/auth.json", '{"OPENAI_API_KEY": null, "tokens": {}}')
    put(tmp_path, ".codex/config.toml", 'model = "gpt"')
    assert not pays("claude", tmp_path, "PATH")
    assert not pays("codex", tmp_path)
    assert pays("claude", tmp_path, "ANTHROPIC_API_KEY")
    assert pays("claude", tmp_path, "ANTHROPIC_BASE_URL")
    assert pays("codex", tmp_path, "CODEX_API_KEY")


@pytest.mark.parametrize(
    ("agent", "name", "text"),
    [
        ("claude", ".claude/settings.json", '{"apiKeyHelper": "get-key"}'),
        ("claude", ".claude/settings.json", '{"env": {"ANTHROPIC_API_KEY": "x"}}'),
        ("claude", ".claude/settings.json", "{"),
        ("codex", ".codex/auth.json", '{"OPENAI_API_KEY": "sk"}'),
        ("codex", ".codex/config.toml", 'model_provider = "lab"'),
        ("codex", ".codex/config.toml", "not toml"),
    ],
)
def test_what_a_programs_own_files_say_of_keys_counts(
    tmp_path: Path, agent: str, name: str, text: str
) -> None:
    put(tmp_path, ".claude/.credentials.json", "{}")
    put(tmp_path, ".codex/auth.json", "{}")
    assert not pays(agent, tmp_path)
    put(tmp_path, name, text)
    assert pays(agent, tmp_path)


def test_where_nothing_reports_it_costs(tmp_path: Path) -> None:
    assert pays("claude", tmp_path)
    assert pays("aider", tmp_path)
    assert is_paid(OWN, user_home=tmp_path, variables={})
    assert not pays("claude", tmp_path, "CLAUDE_CODE_OAUTH_TOKEN")
