"""API keys leave the environment, and go to their own provider."""

import subprocess
import sys

import pytest

from node.home.config import Config
from node.proposing.keys import (
    ApiKeys,
    is_key,
    is_loopback,
    key_variable,
    take_keys,
    variables_of,
)
from protocol.errors import ConfigurationError

SECRET = "sk-0123456789"


def test_what_looks_like_a_key_is_taken_and_everything_else_stays() -> None:
    env = {
        "OPENAI_API_KEY": SECRET,
        "HF_TOKEN": "hf",
        "REPLICATE_API_TOKEN": "r8",
        "CLAUDE_CODE_OAUTH_TOKEN": "oat",
        "MY_SECRET": "mine",
        "MISTRAL_API_KEY": "  ",
        "PATH": "/bin",
        "ARNODE_LLM_KEY": "MY_SECRET",
        "OPENAI_API_BASE": "http://x",
        "KEYBOARD": "de",
    }
    keys = take_keys(env, "MY_SECRET")
    assert set(env) == {"PATH", "ARNODE_LLM_KEY", "OPENAI_API_BASE", "KEYBOARD"}
    assert keys.names == (
        "CLAUDE_CODE_OAUTH_TOKEN", "HF_TOKEN", "MY_SECRET", "OPENAI_API_KEY", "REPLICATE_API_TOKEN",
    )  # fmt: skip
    assert keys.key("OPENAI_API_KEY") == SECRET
    assert keys.key("MISTRAL_API_KEY") is None
    assert SECRET not in f"{keys!r} {keys}"


def test_a_key_with_something_in_it_that_no_key_has_is_refused() -> None:
    keys = take_keys({"OPENAI_API_KEY": "Bearer sk-1"})
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as caught:
        keys.key("OPENAI_API_KEY")
    assert "sk-1" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("model", "variables"),
    [
        ("gpt-5-mini", ("OPENAI_API_KEY",)),
        ("o3", ("OPENAI_API_KEY",)),
        ("claude-sonnet-4-5", ("ANTHROPIC_API_KEY",)),
        ("anthropic/claude-sonnet-4-5", ("ANTHROPIC_API_KEY",)),
        ("openrouter/qwen/qwen3", ("OPENROUTER_API_KEY",)),
        ("gemini/gemini-2.5-pro", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
        ("some-new.one/m", ("SOME_NEW_ONE_API_KEY",)),
        ("qwen3", ()),
        ("claudette", ()),
    ],
)
def test_a_provider_s_variable_follows_from_the_model_s_name(
    model: str, variables: tuple[str, ...]
) -> None:
    assert variables_of(model) == variables
    assert all(is_key(name) for name in variables)


def test_the_variable_that_is_set_goes_before_the_first_by_custom() -> None:
    keys = ApiKeys({"GOOGLE_API_KEY": "g"})
    assert key_variable(Config(), "gemini/x", None, keys) == "GOOGLE_API_KEY"
    assert key_variable(Config(), "gemini/x", None, ApiKeys({})) == "GEMINI_API_KEY"
    assert key_variable(Config(llm_key="MINE"), "gemini/x", None, keys) == "MINE"


def test_a_server_that_the_user_names_gets_no_provider_s_key() -> None:
    keys = ApiKeys({"OPENAI_API_KEY": SECRET})
    for url in ("http://127.0.0.1:1/v1", "https://example.org/v1"):
        assert key_variable(Config(), "openai/gpt-5", url, keys) is None
    named = Config(llm_key="OPENAI_API_KEY")
    assert key_variable(named, "openai/gpt-5", "https://example.org/v1", keys) == "OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080/v1", True),
        ("http://192.168.1.2/v1", False),
        ("https://localhost.example.org/v1", False),
        ("https://127.0.0.1.example.org/v1", False),
        ("http://0.0.0.0/v1", False),
        ("http://[::ffff:127.0.0.1]/v1", True),
        ("http://[::127.0.0.1]/v1", False),
        ("http://[64:ff9b::127.0.0.1]/v1", False),
        ("http://[2002:7f00:1::1]/v1", False),
        ("http://127.1/v1", False),
        ("http://0177.0.0.1/v1", False),
        ("http://2130706433/v1", False),
    ],
)
def test_loopback_is_reported_by_the_address_alone(url: str, is_here: bool) -> None:
    assert is_loopback(url) is is_here


CODE = """
import os, subprocess, sys
from node.proposing.keys import take_keys
keys = take_keys(os.environ)
print(keys.key("OPENAI_API_KEY"))
print(subprocess.run(["env"], capture_output=True, text=True, check=True).stdout)
"""


def test_programs_that_are_started_afterwards_do_not_inherit_a_key() -> None:
    said = subprocess.run(
        [sys.executable, "-c", CODE],
        env={"PATH": "/usr/bin:/bin", "OPENAI_API_KEY": SECRET, "OTHER": "stays"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    own, _, inherited = said.partition("\n")
    assert own == SECRET
    assert "OTHER=stays" in inherited
    assert SECRET not in inherited
