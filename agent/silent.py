"""A proposer without ideas, for a node that only tries what others claim or is handed in."""

from agent.proposal import Context, Proposal


class Silent:
    """Proposes nothing."""

    def propose(self, _context: Context) -> Proposal | None:
        """Return None."""
        return None
