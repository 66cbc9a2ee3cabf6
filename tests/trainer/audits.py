"""The choice of the runs that are audited in a test."""

from trainer.measuring.kind import NeedsAudit


def audited(is_audited: bool) -> NeedsAudit:
    """Return a function that gives the same answer for every run."""

    async def says(_public: int, _secret: int) -> bool:
        return is_audited

    return says
