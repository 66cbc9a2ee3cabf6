"""Transfers: patches kept on another rung or task, applied to this line and judged again.

A patch is applied to the working line just before its experiment. Constants that differ between the
rungs, such as sizes, keep the values of this rung. The gain on the other rung is no evidence here.
A transfer is a job of its own until it is decided, so it survives a kill and changes of the
working line. Several patches may be tried as one; if they are kept, that is evidence for all of
them together. Other modules choose the patches to transfer.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

from agent.source.canonical import fingerprint
from agent.source.edits import edits_between, reapply
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.record_writer import MAX_PARENTS
from node.source_review.inspection import inspect
from node.source_review.patches import merged
from node.store.jobs import Job
from protocol.codecs import fit_line, long_text, single_line
from protocol.constants import sizes_between, with_constants
from protocol.fields import OPTIONAL, Digest, Items, Mapped, Named
from protocol.ideas import Edit
from protocol.record_kinds import FoundOn, ResultBody
from protocol.source import Source

RUNG_TRANSFER: Final = "carry"  # the proposer of transfers

_WHY_TOGETHER: Final = "If it is kept, that is evidence for the stack, not for each part."

Unfit = Literal["misfit", "there", "marked", "tried"]
UNFIT: Final[dict[Unfit, str]] = {
    "misfit": "it does not fit the working line here",
    "there": "the working line has it, or it only sets sizes of its own rung",
    "marked": "on this line it would do more than arithmetic",
    "tried": "the same source was tried here before and not kept",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCandidate(Mapped):
    """A patch on another task, from `base` to `tree`; `root` is that task's baseline.

    `gain_nano` is its gain there, in 1e-9 of that task's metric; None if it was not reported. A
    peer's patch has its `author`.
    """

    base: Digest
    tree: Digest
    root: Digest
    title: Annotated[str, single_line(1, 120)]
    why: Annotated[str, long_text(600)]
    found_on: FoundOn
    gain_nano: Annotated[int | None, Named("gain"), OPTIONAL] = None
    author: Annotated[Digest | None, OPTIONAL] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RungTransferStep(Mapped):
    """A transfer: one patch, or several patches of one task that are tried together, in order.

    `decision` is the experiment's decision, or the reason for no experiment (`UNFIT`). `result` is
    the experiment's record. After the decision, `finds` are only the patches that were tried.
    """

    finds: Annotated[tuple[TransferCandidate, ...], Items(1, MAX_PARENTS)]
    decision: Annotated[str, single_line(0, 32)] = ""
    result: Annotated[Digest | None, OPTIONAL] = None

    KIND: ClassVar = "carried"
    IS_ON_ONE_SPLIT: ClassVar = False  # it has no runs

    @property
    def title(self) -> str:
        """A description of at most one line of text."""
        return title_of(self.finds)


def title_of(finds: Sequence[TransferCandidate]) -> str:
    """Return a one-line description of patches that are tried as one."""
    if len(finds) == 1:
        return finds[0].title
    return fit_line(
        f"{len(finds)} together: {'; '.join(candidate.title for candidate in finds)}", 120
    )


def apply_to_rung(
    base: Source, tree: Source, onto: Source, *, below: Source, above: Source
) -> tuple[Source, tuple[Edit, ...]] | None:
    """Return another rung's patch applied to `onto`, and its edits if it consists of edits.

    `below` and `above` are the baselines of the other rung and of this rung. Constants that differ
    between them keep their values of `above`. Return `onto` itself if the patch has no effect left,
    and None if the patch does not fit.
    """
    sizes = sizes_between(below, above)
    base, tree = with_constants(base, sizes), with_constants(tree, sizes)
    if base.tree == tree.tree:
        return onto, ()
    edits = edits_between(base, tree)
    if edits and (made := reapply(edits, onto)) is not None:
        return made, edits
    made = merged(base, onto, tree)
    return None if made is None else (made, ())


def open_rung_transfer(line_writer: LineWriter, step: RungTransferStep) -> Job[RungTransferStep]:
    """Queue a transfer."""
    with line_writer.store.transaction():
        return line_writer.open_job(step)


def rung_transfer_ideas(
    line_writer: LineWriter, *, under_way: Collection[int | None]
) -> Iterator[tuple[Job[RungTransferStep], Idea | Unfit]]:
    """Yield waiting transfers, oldest first: each as an idea, or with the reason against it.

    A transfer that cannot be tried is closed, with the reason. `under_way` are the jobs that
    already have an open experiment.
    """
    for job in line_writer.store.jobs.open_jobs(line_writer.key, RungTransferStep):
        if job.id in under_way:
            continue
        made, result = _made(line_writer, job)
        if not isinstance(made, Idea):
            with line_writer.store.transaction():
                line_writer.close_job(job, replace(job.step, decision=made, result=result))
        yield job, made


def end_rung_transfer(
    line_writer: LineWriter, number: int, decision: str, result: bytes, *, tried: Collection[bytes]
) -> None:
    """Close a transfer with its decision. Callers hold the transaction.

    `tried` are the patches on the other rung that the experiment consisted of.
    """
    job = line_writer.store.jobs.get(number, RungTransferStep)
    if job is not None:
        finds = tuple(
            candidate for candidate in job.step.finds if candidate.found_on.patch in tried
        )
        step = RungTransferStep(finds=finds, decision=fit_line(decision, 32), result=result)
        line_writer.close_job(job, step)


def reopen_rung_transfer(line_writer: LineWriter, number: int) -> None:
    """Queue a transfer again whose stack failed its trial. Callers hold the transaction."""
    job = line_writer.store.jobs.get(number, RungTransferStep)
    if job is not None:
        line_writer.open_job(RungTransferStep(finds=job.step.finds))


def _made(line_writer: LineWriter, job: Job[RungTransferStep]) -> tuple[Idea | Unfit, bytes | None]:
    """Return the idea to try, or the reason against it and the record of an earlier try, if any."""
    working, baseline = line_writer.explored, line_writer.subject.source
    made = _made_of(line_writer, working, job.step.finds)
    if made is None:
        return "misfit", None
    if not made.finds:
        return "there", None
    authors = tuple(candidate.author for candidate in made.finds if candidate.author is not None)
    if not authors:
        mark: bytes | None = fingerprint(made.source)
    else:  # untrusted source is parsed in a child process only
        found = inspect(
            made.source, kind=line_writer.record_writer.manifest.kind, baseline=baseline
        )
        mark = found.fingerprint
        if found.marks:
            return "marked", None
    if mark is None:
        return "misfit", None
    if mark == fingerprint(working):
        return "there", None
    if (tried := line_writer.store.jobs.result_of(line_writer.key.task, mark)) is not None:
        body = line_writer.store.records.get(tried).body
        if isinstance(body, ResultBody) and body.stage == "screen":
            return "tried", tried
    is_one, first = len(made.finds) == 1, made.finds[0]
    patches = tuple(
        candidate.found_on.patch for candidate in made.finds if candidate.found_on.patch is not None
    )
    patch = first.found_on.patch if is_one else None  # of several, `parents` names the patches
    idea = Idea(
        base=working.tree,
        tree=line_writer.blobs.put_source(made.source),
        fingerprint=mark,
        edits=made.edits if is_one else (),
        key=f"{RUNG_TRANSFER}:{(made.source.tree if patch is None else patch).hex()[:12]}",
        title=title_of(made.finds),
        why=first.why if is_one else _WHY_TOGETHER,
        proposer=RUNG_TRANSFER,
        parents=() if is_one else patches,
        author=authors[0] if authors else None,
        co_authors=authors[1:] or None,
        found_on=replace(first.found_on, patch=patch),
        carried=job.id,
    )
    return idea, None


class _Made(NamedTuple):
    """A source, the patches that were applied to make it, and the edits of the last patch."""

    source: Source
    finds: tuple[TransferCandidate, ...]
    edits: tuple[Edit, ...]


def _made_of(
    line_writer: LineWriter, working: Source, finds: Sequence[TransferCandidate]
) -> _Made | None:
    """Return the working line with the patches applied; None if none of them fits.

    Patches that do not fit are left out.
    """
    made, is_fitting = _Made(working, (), ()), False
    for candidate in finds:
        over = apply_to_rung(
            line_writer.source(candidate.base),
            line_writer.source(candidate.tree),
            made.source,
            below=line_writer.source(candidate.root),
            above=line_writer.subject.source,
        )
        is_fitting |= over is not None
        if over is not None and over[0].tree != made.source.tree:
            made = _Made(over[0], (*made.finds, candidate), over[1])
    return made if is_fitting else None
