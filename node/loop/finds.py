"""Listed moves that peers kept and this node did not try, and the moves that come before them."""

from collections.abc import Collection, Iterator

from agent.hyperparameters.moves import applies, do_finds_wait, may_run, moves_in
from agent.proposal import FromOthers
from node.line.line_writer import LineWriter
from node.loop.briefing import Briefing
from node.loop.outcomes import Outcomes
from protocol.ideas import Move


class Finds:
    """Peers' finds for the working line. `tried` has the fingerprints of sources not to run."""

    def __init__(
        self,
        line_writer: LineWriter,
        outcomes: Outcomes,
        briefing: Briefing,
        *,
        tried: Collection[bytes],
    ) -> None:
        self._line_writer = line_writer
        self._outcomes = outcomes
        self._briefing = briefing
        self._tried = tried

    @property
    def from_others(self) -> FromOthers:
        """Reports of peers about the task's moves so far."""
        return self._briefing.from_others(self._line_writer.explored)

    @property
    def has_untried(self) -> bool:
        """True if peers kept a listed move that fits here and was not tried, alone or combined."""
        kept = self.from_others.kept
        return any(move.title in kept and self._may_run(move) for move in self._untried_moves())

    @property
    def do_wait(self) -> bool:
        """True if moves that are assigned to this node come before what peers kept."""
        return do_finds_wait(
            list(self._untried_moves()),
            self._may_run,
            self.from_others,
            taken=self._line_writer.others_titles(self._line_writer.explored.tree),
            is_first=not self._outcomes.all,
        )

    def _untried_moves(self) -> Iterator[Move]:
        tried = {name for outcome in self._outcomes.all for name in moves_in(outcome.key)}
        working = self._line_writer.explored
        for move in self._briefing.task.moves:
            if move.name not in tried and applies(move, working):
                yield move

    def _may_run(self, move: Move) -> bool:
        """Return False if the move's source ran here, or the owner rejected it."""
        return may_run(move, self._line_writer.explored, self._tried.__contains__)
