"""Suggestions of `arnode start`, which fails while a node runs in the same home."""

from typing import Final

from node.home.control_socket import is_running
from node.home.home import Home

PROMOTION_TRIAL: Final = "`arnode start`, then `arnode stop --after-promotion-trial`"
_WAIT: Final = "a node is running: `arnode status` shows what it does"


def unless_running(start: str, running: str = _WAIT) -> str:
    """Return text that suggests `arnode start`, or `running` while a node runs in this home."""
    return running if is_running(Home.here().socket) else start


def next_start(*options: str) -> str:
    """Return `arnode start` with options in backticks, after `arnode stop` while a node runs."""
    command = " ".join(["arnode start", *options])
    return unless_running(f"`{command}`", f"`arnode stop`, then `{command}`")
