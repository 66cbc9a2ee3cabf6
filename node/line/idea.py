"""What the next experiment would be, before it is a job."""

from dataclasses import dataclass

from agent.proposal import Proposal
from node.line.submission import SubmissionStep
from node.store.jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """A proposal, the patches it is tried again after, and the job it was handed in as.

    A peer's has its `author`, and in thousandths of a deviation what they say it gains; a stack of
    several claims has the `co_authors` of the others.
    """

    proposal: Proposal
    parents: tuple[bytes, ...] = ()
    submission: Job[SubmissionStep] | None = None
    author: bytes | None = None
    claim_milli: int | None = None
    co_authors: tuple[bytes, ...] | None = None
