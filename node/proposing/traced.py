"""A proposer whose visits are stored as traces, without secrets and within limits.

A trace is written before the proposal is handed on, in one transaction. If it cannot be written,
the proposal is used all the same.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace

from agent.proposal import Context, NoProposal, Proposal, ProposerQuestion, SlowProposer
from agent.visit.trace import TraceStep, bounded, has_answer, last_refusal
from node.home.clock import clock_ms
from node.proposing.redaction import DROPPED, Redaction
from node.store.database import Database
from node.store.traces import TRACE_BYTES, TraceBody, VisitSummary, keep_trace
from protocol.codecs import fit_line
from protocol.errors import ArnodeError

_MOST_REASON = 600
_MOST_NAME = 200
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class TracedProposer:
    """A proposer that stores the trace of each visit of another one.

    `arm` is its name among all proposers, and `task` the task's id.
    """

    proposer: SlowProposer
    database: Database
    _: KW_ONLY
    arm: str
    task: bytes
    redaction: Redaction
    clock_s: Callable[[], float] = time.monotonic
    clock_ms: Callable[[], int] = clock_ms

    @property
    def name(self) -> str:
        """The other proposer's display name."""
        return self.proposer.name

    async def propose(self, context: Context) -> Proposal | NoProposal:
        """Return what the other proposer does, with the number of the trace."""
        ts_ms, since_s = self.clock_ms(), self.clock_s()
        made = await self.proposer.propose(context)
        if not made.steps:
            return made  # nobody was asked
        body = await asyncio.to_thread(trace_body, made.steps, self.redaction)
        visit = self._summary(made, ts_ms=ts_ms, seconds=self.clock_s() - since_s)
        try:
            number = keep_trace(self.database, visit, body)
        except ArnodeError as fault:
            _log.warning("the trace of a visit is not stored: %s", fault.message)
            return replace(made, steps=())
        if isinstance(made, NoProposal):
            return replace(made, steps=())
        return replace(made, steps=(), trace=number)

    def question(self, context: Context) -> ProposerQuestion | NoProposal:
        """Return the other proposer's first question. Asks no model."""
        return self.proposer.question(context)

    def _summary(self, made: Proposal | NoProposal, *, ts_ms: int, seconds: float) -> VisitSummary:
        def cleaned(text: str) -> str:
            # SQLite stores no surrogates, which a server's answer may contain.
            return self.redaction.cleaned(text).encode("utf-8", "replace").decode()

        is_proposed = isinstance(made, Proposal)
        return VisitSummary(
            ts_ms=ts_ms,
            task=self.task,
            proposer=fit_line(self.arm, _MOST_NAME),
            title=cleaned(made.title) if isinstance(made, Proposal) else "",
            refusal=None if is_proposed else last_refusal(made.steps) or "fault",
            reason="" if isinstance(made, Proposal) else cleaned(made.reason)[:_MOST_REASON],
            is_answered=has_answer(made.steps),
            ms=round(seconds * 1000),
            cost=made.cost,
        )


def trace_body(steps: tuple[TraceStep, ...], redaction: Redaction) -> TraceBody:
    """Return the steps of a visit as they are stored."""
    shown, dropped = bounded(steps, limit_bytes=TRACE_BYTES, clean=redaction.cleaned)
    watch = redaction.watch()
    return TraceBody(
        steps=tuple(
            replace(step, text=DROPPED) if watch.reveals(step.who, step.text) else step
            for step in shown
        ),
        dropped=dropped,
    )
