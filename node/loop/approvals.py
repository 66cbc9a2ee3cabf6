"""The proposals of one line that wait for the owner, and the setting `approve`.

Several wait at once, so that the device need not be idle between two decisions. Their number is
limited, since a proposal may cost money and ages as the working line moves.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agent.source.canonical import fingerprint
from node.home.clock import clock_ms
from node.line.idea import EDITED, Idea, moved_idea
from node.line.line_writer import LineWriter
from node.line.proposals import (
    NO_APPROVAL,
    ProposalJob,
    State,
    answer_span_ms,
    has_run,
    note_rule,
    open_proposal,
    proposals_of,
    rejections_of,
    settle_proposal,
    skips_unanswered,
)
from protocol.ideas import Edit

MOST_OPEN: Final = 4  # proposals that wait for a decision or for their run
_LEAST_S: Final = 1.0  # a paused node decides nothing: it must not look all the time
_SAID: Final[dict[State, str]] = {
    "unanswered": "nobody answered, so it runs",
    "skipped": "nobody answered, so it is not run",
    "outdated": "dropped: it no longer fits the working line",
}


class Approvals:
    """The proposals of one line. `rule` is the value of the setting `approve`.

    With `off` no new proposal waits, and those from an earlier session run like approved ones.
    `say` reports each new proposal, and each that is decided without the owner.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        rule: str,
        *,
        say: Callable[[str], None],
        clock_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self._line_writer = line_writer
        self._store = line_writer.store
        self._rule = rule
        self._say = say
        self._clock_ms = clock_ms
        self._span_ms = answer_span_ms(rule)
        self._moved_to = b""
        self._moved: dict[bytes, Idea | None] = {}  # ideas by their trees, on that working line

    @property
    def is_on(self) -> bool:
        """True if new proposals wait for the owner."""
        return self._rule != NO_APPROVAL

    def begin(self) -> None:
        """Store the setting at the start of a session, for documents."""
        note_rule(self._store, self._line_writer.key, self._rule)

    @property
    def open(self) -> list[ProposalJob]:
        """The proposals that wait for a decision or for their run, oldest first."""
        return proposals_of(self._store, self._line_writer.key)

    @property
    def waiting(self) -> int:
        """The number of proposals that wait for a decision."""
        return sum(job.step.state == "waiting" for job in self.open) if self.is_on else 0

    def holds(self, proposer: str) -> bool:
        """Return True if an idea of this kind of proposer waits."""
        return any(job.step.idea.proposer == proposer for job in self.open)

    @property
    def answer_due_s(self) -> float:
        """The seconds until the first unanswered proposal is decided; infinite without a limit."""
        if self._span_ms is None:
            return math.inf
        made = [job.created_ms for job in self.open if job.step.state == "waiting"]
        if not made:
            return math.inf
        return max(_LEAST_S, (min(made) + self._span_ms - self._clock_ms()) / 1000)

    def offer(self, idea: Idea) -> None:
        """Store a proposal for the owner's decision."""
        job = open_proposal(self._line_writer, idea)
        self._say(f"waits for your decision: {idea.title} (`arnode approve {job.id}`)")

    def is_rejected(self, edits: tuple[Edit, ...], title: str = "") -> bool:
        """Return True if the owner rejected this change, also on an earlier working line.

        `title`: also compare titles. The built-in search names a change by what it does.
        """
        rejected = [step.idea for step in rejections_of(self._store, self._line_writer.key)]
        return any((edits and edits == idea.edits) or title == idea.title for idea in rejected)

    def next(self) -> Idea | None:
        """Return the first idea that may run, on the present working line; None without one."""
        self.settle()
        job = next((job for job in self.open if job.step.runs), None)
        # Move it again: on a full disk, a tree that no job refers to may be gone.
        idea = None if job is None else self._on_working_line(job.step.idea)
        return None if job is None or idea is None else replace(idea, submission=job.id)

    def settle(self) -> None:
        """Decide what nobody answered in time.

        Drop what no longer fits the working line, or whose source was run meanwhile. A proposal
        keeps its base until it runs, so that the owner edits what was shown.
        """
        for job in self.open:
            state = self._unanswered(job) if job.step.state == "waiting" else None
            settled = job if state is None else self._settled(job, state)
            is_open = state is None or settled.step.runs
            if is_open and self._current(settled) is None:
                self._settled(settled, "outdated")

    def _current(self, job: ProposalJob) -> Idea | None:
        """Return an idea on the present working line; None if it does not fit or was run."""
        idea, working = job.step.idea, self._line_writer.known_line.working
        if self._moved_to != working:
            self._moved_to, self._moved = working, {}
        if idea.tree not in self._moved:
            self._moved[idea.tree] = self._on_working_line(idea)
        moved = self._moved[idea.tree]
        is_old = moved and has_run(self._store, self._line_writer.key, moved.fingerprint)
        return None if is_old else moved

    def _on_working_line(self, idea: Idea) -> Idea | None:
        moved = moved_idea(self._line_writer, idea)
        if moved is None and idea.proposer == EDITED:  # the owner's source runs as it is
            moved = replace(idea, base=self._line_writer.known_line.working, edits=())
        if moved is None or moved.base == idea.base:
            return moved
        is_there = moved.fingerprint == fingerprint(self._line_writer.explored)
        return None if is_there else moved

    def _unanswered(self, job: ProposalJob) -> State | None:
        """Return the decision on an unanswered proposal; None while it may still be answered."""
        if not self.is_on:
            return "unanswered"
        if self._span_ms is None or self._clock_ms() < job.created_ms + self._span_ms:
            return None
        return "skipped" if skips_unanswered(self._rule) else "unanswered"

    def _settled(self, job: ProposalJob, state: State) -> ProposalJob:
        self._say(f"{_SAID[state]}: {job.step.idea.title}")
        return settle_proposal(self._store, job, state, now_ms=self._clock_ms())
