"""Checks of the sandbox tier before code runs: no sandbox, no run."""

import sys

from node.home.config import Config
from protocol.codecs import plain
from protocol.errors import SafetyError
from trainer.sandbox.tier import probe_tier


def require_sandbox(config: Config) -> None:
    """Raise SafetyError unless the user's experiments can run here; warn about a weaker tier."""
    tier = probe_tier()
    if tier.name == "none":
        raise SafetyError(f"no sandbox, no run: {tier.detail}", tier.hint)
    if tier.name == "partial" and not config.allow_partial_sandbox:
        raise SafetyError(
            f"only a partial sandbox is available here: {tier.detail}",
            f"{tier.hint}; or accept it for your own experiments: `--allow-partial-sandbox`, "
            "`allow_partial_sandbox = true` in config.toml",
        )
    if tier.name != "full":
        print(f"WEAKER SANDBOX (tier {tier.name}): {plain(tier.detail)}", file=sys.stderr)
        print(f"  hint: {plain(tier.hint)}", file=sys.stderr)


def require_peer_sandbox(config: Config) -> None:
    """Raise SafetyError unless untrusted code can run safely here."""
    tier = probe_tier()
    if tier.name == "container" and not config.peers_in_container:
        raise SafetyError(
            f"peers' code runs in tier container only if you allow it: {tier.detail}",
            f"{tier.hint}; or set `peers_in_container = true` in config.toml",
        )
    if tier.name in ("partial", "none"):
        raise SafetyError(f"peers' code does not run here: {tier.detail}", tier.hint)
