"""Whether a coding agent costs by the token, or comes with a subscription that is paid anyway.

Where it cannot be told for certain it costs: a limit in USD that holds too early is a nuisance, one
that does not hold a bill.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from node.proposing.presets import Preset

# In a program's own files: what makes it pay by a key, or ask somebody else.
_KEYS: Final = (
    "apiKeyHelper", "env", "OPENAI_API_KEY", "model_provider", "model_providers", "openai_base_url",
    "profile",
)  # fmt: skip


def is_paid(preset: Preset, *, user_home: Path, variables: Mapping[str, str]) -> bool:
    """Say whether a visit costs USD, by the variables that are passed and the files it is given."""
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
