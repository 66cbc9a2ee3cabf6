"""The values of the setting `notify`: where alerts are sent. `node.running.alerts` sends them."""

import json
import shlex
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from node.home.setting import ValueKind
from node.home.values import Given, WrongWordError, text

Way: TypeAlias = Literal["ntfy", "webhook", "command"]

_WANTED: Final = (
    'a list of "ntfy:https://HOST/TOPIC", "webhook:https://HOST/PATH" and "command:PROGRAM ARG",'
    " as JSON in a variable"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A destination of alerts. `words` has one URL, or a program and its arguments."""

    way: Way
    words: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The text for logs. It omits the URL's path: with the path anyone could read alerts."""
        if self.way == "command":
            return f"command:{self.words[0]}"
        parts = urlsplit(self.words[0])
        return f"{self.way}:{parts.scheme}://{parts.netloc}"


def outlet(word: str) -> Outlet:
    """Parse one word of the setting. Raises WrongWordError."""
    way, _, rest = word.partition(":")
    match way:
        case "ntfy":
            topic = _checked_url(word, rest).path.strip("/")
            if not topic or "/" in topic:
                raise WrongWordError(f"`{word}` names no topic: ntfy:https://HOST/TOPIC")
            return Outlet(way="ntfy", words=(rest,))
        case "webhook":
            _checked_url(word, rest)
            return Outlet(way="webhook", words=(rest,))
        case "command":
            return Outlet(way="command", words=_argv(word, rest))
    raise WrongWordError(f"`{word}` does not begin with one of `ntfy:`, `webhook:` and `command:`")


def outlets(value: Given) -> tuple[str, ...]:
    """Return the outlets of a value: a list, or a text with one outlet or with a JSON list."""
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else [value] if value else []
    if not isinstance(value, list | tuple):
        raise TypeError
    words = tuple(text(word) for word in value)
    for word in words:
        outlet(word)
    return words


def _checked_url(word: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port  # reading it checks it
    except ValueError as fault:
        raise WrongWordError(f"`{word}` has no valid URL: {str(fault).lower()}") from fault
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise WrongWordError(f"`{word}` is not an http or https URL")
    if parts.username or parts.password:
        raise WrongWordError(f"`{word}` has a user or a password in its URL")
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise WrongWordError(f"`{word}` has an invalid character in its URL")
    return parts


def _argv(word: str, command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as fault:
        raise WrongWordError(f"`{word}` is not a command: {str(fault).lower()}") from fault
    if not words or not words[0] or "\0" in command:
        raise WrongWordError(f"`{word}` names no program: command:PROGRAM ARG")
    return words


NOTIFY: Final = ValueKind(outlets, _WANTED)
