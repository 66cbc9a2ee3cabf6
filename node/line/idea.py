"""What the next experiment would be, before it is one: an idea, or a source that was handed in."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from agent.proposal import Proposal
from node.line.ledger import Ledger
from node.store.jobs import Job
from protocol.codecs import fit_line, fit_text, line, text
from protocol.fields import Digest, Items, Mapped
from protocol.record_kinds import FoundOn
from protocol.source import Source

SUBMITTED: Final = "try"  # the proposer of whatever a person or another program wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionStep(Mapped):
    """A source that was handed in. Its base is the working line when its turn comes."""

    tree: Digest
    fingerprint: Digest
    title: Annotated[str, line(1, 120)]
    why: Annotated[str, text(600)]
    parents: Annotated[tuple[Digest, ...], Items(0, 8)] = ()

    KIND: ClassVar = "submission"
    IS_ON_ONE_SPLIT: ClassVar = False  # it has no runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """A proposal, the patches it is tried again after, and the job it was handed in as.

    A peer's has its `author`, and in thousandths of a deviation what they say it gains; a stack of
    several claims has the `co_authors` of the others. One that comes from another rung says where
    it was `found_on`, and as which job it is `carried`. An own one says which `arm` thought of it.
    """

    proposal: Proposal
    parents: tuple[bytes, ...] = ()
    submission: Job[SubmissionStep] | None = None
    author: bytes | None = None
    claim_milli: int | None = None
    co_authors: tuple[bytes, ...] | None = None
    found_on: FoundOn | None = None
    carried: int | None = None
    arm: str | None = None


def open_submission(
    ledger: Ledger, source: Source, *, fingerprint: bytes, title: str, why: str
) -> Job[SubmissionStep]:
    """Queue a source that was handed in; from now on its canonical AST counts as tried."""
    step = SubmissionStep(
        tree=ledger.blobs.put_source(source),
        fingerprint=fingerprint,
        title=fit_line(title, 120),
        why=fit_text(why, 600),
    )
    with ledger.store.transaction():
        job = ledger.open_job(step)
        ledger.store.jobs.mark_tried(ledger.key.task, fingerprint)
    return job
