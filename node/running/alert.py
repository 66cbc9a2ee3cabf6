"""The content of an alert: one line of text for people, and figures for programs.

A title may be a peer's text, and services turn text into links, mentions and markup. So titles are
quoted, and everything but words and figures is removed from them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from node.terminal.vocabulary import many
from protocol.codecs import fit_line, plain
from protocol.errors import ArnodeError

AlertKind: TypeAlias = Literal["head", "refuted", "proposal", "ended", "disk"]
Figures: TypeAlias = Mapping[str, str | float | None]

KINDS: Final[Mapping[AlertKind, tuple[str, str]]] = {
    "head": ("change of a head", "changes of a head"),
    "refuted": ("refuted claim", "refuted claims"),
    "proposal": ("proposal that waits for you", "proposals that wait for you"),
    "ended": ("end of the node", "ends of the node"),
    "disk": ("warning about the disk", "warnings about the disk"),
}
"""The name of each kind of alert, singular and plural."""

TITLE_CHARACTERS: Final = 80
_FAULT_CHARACTERS: Final = 300
_REPLACEMENT: Final = "·"
# A dot before a letter makes host names, underscores around a word make it italic.
_MARKUP: Final = re.compile(r"[^\w ,;:=()+%→−.-]|:(?! )|\.(?=[^\W\d])|(?<![^\W_])_|_(?![^\W_])")
_LINKS: Final = re.compile(r"[<>@&`*\[\]|~#]|://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One event: a line of text for people, and figures for programs."""

    kind: AlertKind
    text: str
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """An alert as sent: with the node, the time, and the number of alerts not sent before it."""

    alert: Alert
    node: str
    ts_ms: int
    held_back: Mapping[AlertKind, int]

    @property
    def text(self) -> str:
        """The text for people."""
        counts = [many(count, *KINDS[kind]) for kind, count in self.held_back.items()]
        more = f" (not sent before: {', '.join(counts)})" if counts else ""
        return f"{self.node}: {self.alert.text}{more}"

    def document(self) -> dict[str, object]:
        """Return the document for programs.

        Slack, Mattermost and Rocket.Chat look for the message in `text`, Discord in `content`.
        """
        return {
            "v": 1,
            "kind": self.alert.kind,
            "node": self.node,
            "ts": self.ts_ms,
            "text": self.text,
            "content": self.text,
            "held_back": dict(self.held_back),
            **self.alert.figures,
        }


def cleaned(text: str) -> str:
    """Return untrusted text without anything that a service would interpret."""
    return _MARKUP.sub(_REPLACEMENT, fit_line(text, TITLE_CHARACTERS))


def quoted(title: str) -> str:
    """Return an untrusted title, cleaned and in quotes."""
    return f'"{cleaned(title)}"'


def end_of(fault: Exception) -> Alert:
    """Return the alert for an error that ends the node."""
    if isinstance(fault, ArnodeError):
        reason = f"{fault.message} (hint: {fault.hint})" if fault.hint else fault.message
    else:
        reason = f"an internal error, {type(fault).__name__}: see `arnode home logs`"
    # Quotes of arnode's own messages remain, as ' instead of `, because ` is markup.
    fitting = fit_line(reason.replace("`", "'"), _FAULT_CHARACTERS)
    shown = _LINKS.sub(_REPLACEMENT, plain(fitting))
    return Alert(kind="ended", text=f"the node ended unexpectedly: {shown}")
