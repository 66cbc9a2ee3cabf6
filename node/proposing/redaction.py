"""Removal of secrets from texts of a visit, before they are stored.

Removed are the values of variables that hold keys, texts in the forms of keys, headers with keys,
private keys, passwords in addresses, and the paths of home folders. A text that contains pieces of
a key, or a key in another encoding (`agent.worker.key_forms`), is dropped as a whole. The texts are
only shown to the owner, so this protects what is shown to others later, such as a screenshot.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from agent.worker.key_forms import is_plain_word
from agent.worker.key_watch import KeyWatch
from node.proposing.keys import is_key

REMOVED: Final = "[removed]"
DROPPED: Final = "[removed: it contains parts of a key]"
_SHORTEST: Final = 8  # characters of a value; shorter ones are words such as `none`
_HOLDS_A_SECRET: Final = re.compile(
    r"(.*_)?(API_?KEY|KEY|KEYS|TOKEN|TOKENS|SECRET|SECRETS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)"
    r"(_.*)?",
    re.IGNORECASE,
)
_FORMS: Final = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        REMOVED,
    ),
    # `Authorization: Bearer …`, also inside JSON and code.
    (
        re.compile(
            r"((?:proxy-)?authorization|(?:x-)?api-?key|x-goog-api-key|(?:set-)?cookie)"
            r"(\\?[\"']?\s*[:=]\s*\\?[\"']?)(?:(bearer|basic|token)\s+)?[^\s\"',;\\]{6,}",
            re.IGNORECASE,
        ),
        rf"\1\2{REMOVED}",
    ),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE), rf"\1 {REMOVED}"),
    (
        re.compile(
            r"\b(?:sk|rk|gsk|xai|hf|gh[pousr]|github_pat|glpat|xox[abeoprs]|r8|pplx|nvapi|npm|pypi)"
            r"[-_](?=[\w-]*\d)[\w-]{16,}"
        ),
        REMOVED,
    ),
    (re.compile(r"\bAIza[\w-]{30,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), REMOVED),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"), REMOVED),
    (re.compile(r"://[^/\s:@\"']{1,200}:[^/\s@\"']{1,200}@"), f"://{REMOVED}@"),
)
_ANY_HOME: Final = re.compile(r"(?<![\w.])/(?:home|Users)/[^/\s\"'`:]+")


class Redaction:
    """Removes the secrets of one environment. Its `repr` shows none of them.

    `named` are further variables that hold keys. `home` is the folder of this node.
    """

    def __init__(self, env: Mapping[str, str], *, named: Iterable[str] = (), home: Path) -> None:
        listed = frozenset(named)
        values = {
            value.strip()
            for name, value in env.items()
            if name in listed or is_key(name) or _HOLDS_A_SECRET.fullmatch(name)
            if not (is_key(name) and is_plain_word(value.strip()))  # such as `not-needed`
        }
        secrets = (one for one in values if len(one) >= _SHORTEST)
        self._secrets = sorted(secrets, key=len, reverse=True)
        user = Path(env.get("HOME") or Path.home())
        folders = {str(home): "$ARNODE_HOME", str(home.resolve()): "$ARNODE_HOME"}
        folders |= {str(user): "~", str(user.resolve()): "~"}
        folders.pop("/", None)
        self._folders = sorted(folders.items(), key=lambda one: len(one[0]), reverse=True)

    def __repr__(self) -> str:
        return f"<the redaction of {len(self._secrets)} secrets>"

    def cleaned(self, text: str) -> str:
        """Return a text without whole secrets and home folders."""
        for secret in self._secrets:
            text = text.replace(secret, REMOVED)
        for form, instead in _FORMS:
            text = form.sub(instead, text)
        for folder, instead in self._folders:
            text = re.sub(rf"{re.escape(folder)}(?![\w.-])", instead.replace("\\", r"\\"), text)
        return _ANY_HOME.sub("~", text)

    def watch(self) -> KeyWatch:
        """Return a detector of keys in pieces or encoded, for the texts of one visit."""
        return KeyWatch(self._secrets)
