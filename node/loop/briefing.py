"""What proposers are told, put together from the line's books, the boards and the user's words.

Made anew for every proposal. Peers' patches come without their prose and only where nothing in
them is marked, as everything of a peer's that may be run; what they say in words is passed on as
it is and marked by who says so.
"""

from collections.abc import Callable

from agent.proposal import Aim, Brief, Context, Insight, PeerPatch
from node.line.intents import titles_on
from node.line.ledger import Ledger
from node.loop.outcomes import Outcomes
from protocol.manifest import Limits
from protocol.units import NANO
from trainer.task_folder.task import Task


class Briefing:
    """Makes contexts for one line. `peers` answers with their claims, the most promising first."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        task: Task,
        outcomes: Outcomes,
        program: Callable[[], str],
        noise_sd: Callable[[], float],
        peers: Callable[[], tuple[PeerPatch, ...]] = tuple,
        insights: Callable[[], tuple[Insight, ...]] = tuple,
        aim: Callable[[], Aim] = lambda: "improve",
        show_unverified_words: bool = False,
    ) -> None:
        self._ledger = ledger
        self._task = task
        self._outcomes = outcomes
        self._program = program
        self._noise_sd = noise_sd
        self._peers = peers
        self._insights = insights
        self._aim = aim
        self._show_unverified_words = show_unverified_words

    def context(self, *, tried: Callable[[bytes], bool], seed: int) -> Context:
        """Return what is known now, about where the node explores."""
        working = self._ledger.explored
        return Context(
            source=working,
            editable=self._task.editable,
            knobs=self._task.knobs,
            moves=self._task.moves,
            history=self._outcomes.all,
            tried=tried,
            seed=seed,
            brief=self._brief(),
            peers=self._peers(),
            insights=self._insights(),
            intents=tuple(sorted(titles_on(self._ledger.others_intents(), working.tree))),
            aim=self._aim(),
            crash=self._outcomes.crash,
            show_unverified_words=self._show_unverified_words,
        )

    def _brief(self) -> Brief:
        manifest, line = self._task.manifest, self._ledger.line
        bank_nano = line.bank_nano if line else ()
        return Brief(
            task=manifest.name,
            program=self._program(),
            metric=manifest.metric.name,
            unit=manifest.metric.unit,
            is_minimised=manifest.metric.direction == "min",
            budget=f"{manifest.budget.amount:,} {manifest.budget.unit}",
            hardware_class=self._ledger.key.hardware_class,
            limits=_limits(manifest.limits),
            noise_sd=self._noise_sd(),
            best=sum(bank_nano) / len(bank_nano) / NANO if bank_nano else None,
        )


def _limits(limits: Limits) -> str:
    memory_gb = limits.memory_mb / 1000
    return (
        f"{limits.limit_s} s for training, {memory_gb:g} GB of memory, "
        f"weights of {limits.weights_mb} MB."
    )
