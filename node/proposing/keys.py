"""API keys: removed from the environment at the start, given only to the process that needs one.

Every child process inherits the environment. After `take_keys` only this process has the keys, and
no other can read its memory (`node.home.keyfile.keep_to_oneself`). A key is sent only to its own
provider, unless the setting `llm_key` names its variable.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Final
from urllib.parse import urlsplit

from agent.worker.key_watch import KeyWatch
from node.home.config import Config
from protocol.errors import ConfigurationError
from protocol.ip_addresses import is_this_machine

# Providers whose variable is not named after their prefix.
_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "together_ai": ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "perplexity": ("PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"),
    "replicate": ("REPLICATE_API_TOKEN", "REPLICATE_API_KEY"),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY", "NVIDIA_API_KEY"),
}
# The providers of model names without a prefix.
_NAMES: Final = (
    (re.compile(r"(gpt|chatgpt|o[1-9])\b"), "openai"),
    (re.compile(r"claude\b"), "anthropic"),
)
_LOOKS_LIKE_A_KEY: Final = re.compile(
    r"(.*_)?(API_KEY|API_KEYS|APIKEY|API_TOKEN|AUTH_TOKEN|OAUTH_TOKEN|ACCESS_TOKEN)"
)
_KEYS: Final = {
    "AWS_ACCESS_KEY_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "DATABRICKS_TOKEN",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
}
_SENDABLE: Final = re.compile(r"[\x21-\x7e]{1,4096}")


class ApiKeys:
    """Keys by the names of their variables. `repr` shows no key.

    `watch` detects text that reveals a key, also in pieces over several answers.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self.watch = KeyWatch(self._values.values())

    def __contains__(self, variable: str) -> bool:
        return variable in self._values

    def __repr__(self) -> str:
        return f"<{len(self._values)} API keys>"

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that hold a key."""
        return tuple(sorted(self._values))

    def key(self, variable: str) -> str | None:
        """Return the value of a variable; None if it was empty or missing.

        Raises ConfigurationError for a value that no server accepts.
        """
        value = self._values.get(variable)
        if value is not None and not _SENDABLE.fullmatch(value):
            raise ConfigurationError(
                f"the API key in {variable} has blanks or other invalid characters",
                f"set {variable} again, to only the key",
            )
        return value


def take_keys(env: MutableMapping[str, str], named: str | None = None) -> ApiKeys:
    """Remove all API keys from an environment, and return those that are not empty.

    `named` is another variable that holds a key, named by the setting `llm_key`.
    """
    names = [name for name in env if is_key(name) or name == named]
    taken = {name: env.pop(name).strip() for name in names}
    return ApiKeys({name: value for name, value in taken.items() if value})


def is_key(variable: str) -> bool:
    """Return True if a variable holds a key, judging by its name."""
    return variable in _KEYS or _LOOKS_LIKE_A_KEY.fullmatch(variable) is not None


def variables_of(model: str) -> tuple[str, ...]:
    """Return the usual variables for the key of a model's provider; empty if unknown."""
    prefix, slash, _ = model.partition("/")
    if not slash:
        prefix = next((name for pattern, name in _NAMES if pattern.match(model)), "")
        if not prefix:
            return ()
    usual = (re.sub(r"\W", "_", prefix).upper() + "_API_KEY",)
    return _VARIABLES.get(prefix, usual)


def is_loopback(url: str) -> bool:
    """Return True if a server is on this machine."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or is_this_machine(host)


def key_variable(config: Config, model: str, url: str | None, keys: ApiKeys) -> str | None:
    """Return the variable whose key is sent to a model's server; None if no key is sent.

    A server that the user names gets only the key that `llm_key` names.
    """
    if config.llm_key is not None:
        return config.llm_key
    if url is not None:
        return None
    usual = variables_of(model)
    return next((name for name in usual if name in keys), usual[0] if usual else None)
