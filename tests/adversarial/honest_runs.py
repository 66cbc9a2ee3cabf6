"""Honest runs between hostile ones, to detect leftovers of the hostile ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.trainer.program.tasks import Bench

_EVERY: Final = 10


class HonestRuns:
    """Runs a task's baseline after each tenth hostile run, and once more in the end."""

    def __init__(self, bench: Bench, honest: tuple[int | None, int | None]) -> None:
        self._bench = bench
        self._honest = honest
        self._since: list[str] = []

    @contextmanager
    def after(self, hostile: str) -> Iterator[None]:
        """Count what the block runs, by its name; the tenth is followed by an honest run."""
        self._since.append(hostile)
        yield
        if len(self._since) >= _EVERY:
            self.check()

    def check(self) -> None:
        """Run the baseline unless nothing ran since: its figures are what they were at first."""
        since, self._since = self._since, []
        if since:
            outcome = self._bench.run()
            found = outcome.status, outcome.metric_nano, outcome.secret_nano
            said = f"an honest run after {since}: {found}, {outcome.reason}"
            assert found == ("ok", *self._honest), said
