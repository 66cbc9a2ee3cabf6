"""Which runs of a test are audited."""

from trainer.measuring.kind import NeedsAudit


def audited(is_audited: bool) -> NeedsAudit:
    """Return what says the same of every run."""

    async def says(_public: int, _secret: int) -> bool:
        return is_audited

    return says
