"""Ideas waiting to become experiments, and submitted sources.

This module turns a proposal into an idea, which never changes afterwards.
"""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final, Self

from agent.proposal import Proposal
from agent.source.canonical import fingerprint as fingerprint_of
from agent.source.edits import edits_between, reapply
from node.line.line_writer import LineWriter
from node.store.jobs import Job
from protocol.codecs import fit_line, fit_text, long_text, single_line
from protocol.fields import OPTIONAL, Digest, Items, Mapped, Named, Natural
from protocol.ideas import Edit
from protocol.record_kinds import MAX_WHY, FoundOn, Origin
from protocol.remarks import MAX_TITLE
from protocol.source import Source

SUBMITTED: Final = "try"  # the proposer of sources submitted by people or other programs
WHOLE_TREE: Final = "best tree"  # the key of a peer's whole tree, tried on the working line
EDITED: Final = "edited"  # the proposer of proposals that the owner edited

_MAX_EDITS: Final = 64
_MAX_ARM: Final = 200
_MAX_MODEL: Final = 80
_WHOLE: Final = "whole source of: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea(Mapped):
    """A change from `base` to `tree`, its proposer, and the reason for it.

    `key` identifies the idea across bases. `edits` re-apply it to another base; they are empty if
    that is not possible. `parents` are the patches that it builds on. `model` and `program` are the
    model and the instructions that it was written with, `tokens` and `usd_nano` its cost.

    For a peer's idea, `author` is set, and `claim_milli` is the claimed gain in thousandths of a
    standard deviation. An idea that combines several claims has `co_authors`, one for each claim
    after the first. A transfer from another rung has `found_on`. `carried` and `submission` are the
    jobs in which a transfer, or a submission or a proposal, waited. `arm` is the proposer whose
    slot was used for one of this node's ideas, named as in the setting `agent`. `trace` is the
    stored trace of the visit that it comes from (`node.store.traces`).
    """

    base: Digest
    tree: Digest
    fingerprint: Digest
    key: Annotated[str, single_line(1, MAX_TITLE)]
    title: Annotated[str, single_line(1, MAX_TITLE)]
    why: Annotated[str, long_text(MAX_WHY)]
    proposer: Annotated[str, single_line(1, 64)]
    edits: Annotated[tuple[Edit, ...], Items(0, _MAX_EDITS)] = ()
    parents: Annotated[tuple[Digest, ...], Items(0, 8)] = ()
    model: Annotated[str | None, single_line(1, _MAX_MODEL), OPTIONAL] = None
    program: Annotated[Digest | None, OPTIONAL] = None
    tokens: Annotated[Natural | None, OPTIONAL] = None
    usd_nano: Annotated[Natural | None, Named("usd"), OPTIONAL] = None
    author: Annotated[Digest | None, OPTIONAL] = None
    claim_milli: Annotated[int | None, Named("claim"), OPTIONAL] = None
    co_authors: Annotated[tuple[Digest, ...] | None, Items(0, 8), OPTIONAL] = None
    found_on: Annotated[FoundOn | None, OPTIONAL] = None
    carried: Annotated[Natural | None, OPTIONAL] = None
    submission: Annotated[Natural | None, OPTIONAL] = None
    arm: Annotated[str | None, single_line(1, _MAX_ARM), OPTIONAL] = None
    trace: Annotated[Natural | None, OPTIONAL] = None

    @classmethod
    def of(cls, line_writer: LineWriter, proposal: Proposal, *, arm: str | None = None) -> Self:
        """Turn a proposal into an idea: shorten its texts to their limits and store its source.

        `arm` is the proposer whose slot it uses.
        """
        return cls(
            base=proposal.parent,
            tree=line_writer.blobs.put_source(proposal.source),
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
            trace=proposal.trace,
        )

    @property
    def origin(self) -> Origin:
        """The proposer, as the idea's patch names it."""
        return Origin(proposer=self.proposer, model=self.model, program=self.program)

    @property
    def authors(self) -> tuple[bytes, ...]:
        """The authors of the claims that it tries, one per claim; empty for this node's ideas."""
        return () if self.author is None else (self.author, *(self.co_authors or ()))

    @property
    def is_whole_tree(self) -> bool:
        """True for a peer's whole tree, which replaces the patches of the working line."""
        return self.key == WHOLE_TREE

    @property
    def claims(self) -> tuple[bytes, ...]:
        """The patches of this line that the idea's authors report gains for."""
        return self.parents[: len(self.authors)] if self.found_on is None else ()

    @property
    def transferred_patches(self) -> tuple[bytes, ...]:
        """The patches on another rung that it consists of."""
        if self.found_on is None or self.found_on.patch is None:  # several, tried as one
            return self.parents
        return (self.found_on.patch,)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionStep(Mapped):
    """A submitted source in the queue. Its base will be the working line when its screen begins."""

    tree: Digest
    fingerprint: Digest
    title: Annotated[str, single_line(1, MAX_TITLE)]
    why: Annotated[str, long_text(MAX_WHY)]
    parents: Annotated[tuple[Digest, ...], Items(0, 8)] = ()

    KIND: ClassVar = "submission"
    IS_ON_ONE_SPLIT: ClassVar = False  # it has no runs


def moved_idea(line_writer: LineWriter, idea: Idea) -> Idea | None:
    """Return an idea moved to the present working line; None if its edits do not fit."""
    working = line_writer.known_line.working
    # On a full disk, a waiting tree may be deleted early, as no job refers to it yet.
    if idea.base == working and line_writer.blobs.lacking(idea.tree) == []:
        return idea
    source = reapply(idea.edits, line_writer.source(working)) if idea.edits else None
    if source is None:
        return None
    tree = line_writer.blobs.put_source(source)
    return replace(idea, base=working, tree=tree, fingerprint=fingerprint_of(source))


def whole_idea(line_writer: LineWriter, idea: Idea) -> Idea:
    """Return an idea's source, as it is, as a change of the present working line."""
    working = line_writer.source(line_writer.known_line.working)
    return replace(
        idea,
        base=working.tree,
        edits=edits_between(working, line_writer.source(idea.tree)),
        title=fit_line(_WHOLE + idea.title.removeprefix(_WHOLE), MAX_TITLE),
    )


def open_submission(
    line_writer: LineWriter, source: Source, *, fingerprint: bytes, title: str, why: str
) -> Job[SubmissionStep]:
    """Queue a submitted source and count its canonical AST as tried."""
    step = SubmissionStep(
        tree=line_writer.blobs.put_source(source),
        fingerprint=fingerprint,
        title=fit_line(title, MAX_TITLE),
        why=fit_text(why, MAX_WHY),
    )
    with line_writer.store.transaction():
        job = line_writer.open_job(step)
        line_writer.store.jobs.mark_tried(line_writer.key.task, fingerprint)
    return job
