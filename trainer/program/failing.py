"""A run that failed with what its program printed, which is a log for people and proposers."""

from trainer.measuring.metering import RunFailed


class ProgramFailed(RunFailed):
    """A failure and the end of the log; of an instance of the secret split there is none."""

    def __init__(self, failed: RunFailed, log: str) -> None:
        super().__init__(failed.status, failed.reason, unquoted=failed.unquoted)
        self.log = log
