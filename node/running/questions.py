"""A request to re-run a claim."""

from dataclasses import dataclass
from pathlib import Path

from node.exchange.bundle_check import FoundClaim
from node.home.control_socket import Message
from node.line.rerun import WantedClaim
from protocol.rule import QUICK, VERIFY


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunRequest:
    """A claim as the user names it, and the options of its re-run.

    None means the default of the policy: `QUICK` with `is_quick`, else `VERIFY`.
    """

    claim: str
    pairs: int | None = None
    alpha: float | None = None
    is_quick: bool = False
    is_published: bool = True

    def wanted(self, found: FoundClaim) -> WantedClaim:
        """Return the claim to queue."""
        mode = QUICK if self.is_quick else VERIFY
        return WantedClaim(
            base=found.base,
            candidate=found.candidate,
            target=found.target,
            author=found.author,
            gain_nano=found.claimed.value_nano if found.claimed else None,
            lower_nano=found.claimed.lower_nano() if found.claimed else None,
            alpha=self.alpha or mode.alpha,
            max_pairs=self.pairs or mode.max_pairs,
            is_quick=self.is_quick,
            is_published=self.is_published,
        )

    def to_message(self) -> dict[str, Message]:
        """Return the message to the running node; a file's path in it is absolute."""
        path = Path(self.claim)
        return {
            "claim": str(path.resolve()) if path.is_file() else self.claim,
            "pairs": self.pairs,
            "alpha": self.alpha,
            "quick": self.is_quick,
            "publish": self.is_published,
        }
