"""What is tried next, before it is an experiment: an idea, or a source that was handed in.

What a proposer answers becomes an idea here, once; from then on it is handed on as it is.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Self

from agent.proposal import Proposal
from node.line.ledger import Ledger
from node.store.jobs import Job
from protocol.codecs import fit_line, fit_text, line, text
from protocol.fields import OPTIONAL, Digest, Items, Mapped, Named, Natural
from protocol.ideas import Edit
from protocol.record_kinds import MAX_WHY, FoundOn, Origin
from protocol.remarks import MAX_TITLE
from protocol.source import Source

SUBMITTED: Final = "try"  # the proposer of whatever a person or another program wrote

_MAX_EDITS: Final = 64
_MAX_ARM: Final = 200
_MAX_MODEL: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea(Mapped):
    """The step from `base` to `tree`, who thought of it, and why.

    `key` names it across bases; `edits` re-apply it to another base, none where that cannot be.
    `parents` are the patches that it builds on. `model` and `program` say where a model's idea came
    from, `tokens` and `usd_nano` what it cost to write.

    A peer's has its `author`, and in thousandths of a deviation what they say it gains; a stack of
    several claims has `co_authors`, one for each claim after the first. One that comes from another
    rung says where it was `found_on`. `carried` and `submission` are the jobs in which it waited
    until now, as found there or as handed in. `arm` is whose slot an own idea took, as the setting
    `agent` calls it.
    """

    base: Digest
    tree: Digest
    fingerprint: Digest
    key: Annotated[str, line(1, MAX_TITLE)]
    title: Annotated[str, line(1, MAX_TITLE)]
    why: Annotated[str, text(MAX_WHY)]
    proposer: Annotated[str, line(1, 64)]
    edits: Annotated[tuple[Edit, ...], Items(0, _MAX_EDITS)] = ()
    parents: Annotated[tuple[Digest, ...], Items(0, 8)] = ()
    model: Annotated[str | None, line(1, _MAX_MODEL), OPTIONAL] = None
    program: Annotated[Digest | None, OPTIONAL] = None
    tokens: Annotated[Natural | None, OPTIONAL] = None
    usd_nano: Annotated[Natural | None, Named("usd"), OPTIONAL] = None
    author: Annotated[Digest | None, OPTIONAL] = None
    claim_milli: Annotated[int | None, Named("claim"), OPTIONAL] = None
    co_authors: Annotated[tuple[Digest, ...] | None, Items(0, 8), OPTIONAL] = None
    found_on: Annotated[FoundOn | None, OPTIONAL] = None
    carried: Annotated[Natural | None, OPTIONAL] = None
    submission: Annotated[Natural | None, OPTIONAL] = None
    arm: Annotated[str | None, line(1, _MAX_ARM), OPTIONAL] = None

    @classmethod
    def of(cls, ledger: Ledger, proposal: Proposal, *, arm: str | None = None) -> Self:
        """Return a proposal as it is kept, its texts no longer than may be, for an arm's slot.

        Its source is in the blobs.
        """
        return cls(
            base=proposal.parent,
            tree=ledger.blobs.put_source(proposal.source),
            fingerprint=proposal.fingerprint,
            key=fit_line(proposal.key, MAX_TITLE),
            title=fit_line(proposal.title, MAX_TITLE),
            why=fit_text(proposal.why, MAX_WHY),
            proposer=proposal.proposer,
            edits=proposal.edits,
            parents=proposal.parents,
            model=proposal.model and fit_line(proposal.model, _MAX_MODEL),
            program=proposal.program,
            tokens=proposal.cost.tokens_in + proposal.cost.tokens_out or None,
            usd_nano=proposal.cost.usd_nano or None,
            arm=arm and fit_line(arm, _MAX_ARM),
        )

    @property
    def origin(self) -> Origin:
        """Who thought of it, as its patch says."""
        return Origin(proposer=self.proposer, model=self.model, program=self.program)

    @property
    def authors(self) -> tuple[bytes, ...]:
        """Whose claims it tries, one for each claim; of an own idea nobody's."""
        return () if self.author is None else (self.author, *(self.co_authors or ()))

    @property
    def claims(self) -> tuple[bytes, ...]:
        """The patches that its authors claim something of, here."""
        return self.parents[: len(self.authors)] if self.found_on is None else ()

    @property
    def carried_patches(self) -> tuple[bytes, ...]:
        """The patches on another rung that it consists of."""
        if self.found_on is None or self.found_on.patch is None:  # several, as one
            return self.parents
        return (self.found_on.patch,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionStep(Mapped):
    """A source that was handed in. Its base is the working line when its turn comes."""

    tree: Digest
    fingerprint: Digest
    title: Annotated[str, line(1, MAX_TITLE)]
    why: Annotated[str, text(MAX_WHY)]
    parents: Annotated[tuple[Digest, ...], Items(0, 8)] = ()

    KIND: ClassVar = "submission"
    IS_ON_ONE_SPLIT: ClassVar = False  # it has no runs


def open_submission(
    ledger: Ledger, source: Source, *, fingerprint: bytes, title: str, why: str
) -> Job[SubmissionStep]:
    """Queue a source that was handed in; from now on its canonical AST counts as tried."""
    step = SubmissionStep(
        tree=ledger.blobs.put_source(source),
        fingerprint=fingerprint,
        title=fit_line(title, MAX_TITLE),
        why=fit_text(why, MAX_WHY),
    )
    with ledger.store.transaction():
        job = ledger.open_job(step)
        ledger.store.jobs.mark_tried(ledger.key.task, fingerprint)
    return job
