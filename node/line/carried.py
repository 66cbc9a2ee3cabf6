"""Changes that were found on another rung, or another task: carried here, and judged anew.

A step there is made on the working line here when its turn comes, with the sizes of this rung; what
it gained there is no evidence. It waits in a job of its own until it is decided, so that neither a
kill nor a line that moves on loses it. Which changes are worth it is not known here.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final, Literal

from agent.proposal import Proposal
from agent.source.canonical import fingerprint
from agent.source.edits import edits_between, reapply
from node.line.idea import Idea
from node.line.ledger import Ledger
from node.store.jobs import Job
from node.vetting.inspection import inspect
from node.vetting.merging import merged
from protocol.codecs import fit_line, line, text
from protocol.constants import sizes_between, with_constants
from protocol.fields import OPTIONAL, Digest, Mapped, Named
from protocol.ideas import Edit
from protocol.record_kinds import FoundOn, ResultBody
from protocol.source import Source

CARRIED: Final = "carry"  # the proposer of what comes from another rung

Unfit = Literal["misfit", "there", "marked", "tried"]
UNFIT: Final[dict[Unfit, str]] = {
    "misfit": "it does not fit the working line here",
    "there": "the working line has it, or it only sets sizes of the rung that it was found on",
    "marked": "on this line it would do more than arithmetic",
    "tried": "the same source was tried here before and not kept",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedStep(Mapped):
    """The step from `base` to `tree` on another task, whose baseline is `root`.

    `gain_nano` is what it brought there, in 1e-9 of the metric there, None if nobody said.
    `decision` is what came of it: an experiment's, or why there was none (`UNFIT`); `result` is the
    experiment's record. A peer's has its `author`.
    """

    base: Digest
    tree: Digest
    root: Digest
    title: Annotated[str, line(1, 120)]
    why: Annotated[str, text(600)]
    found_on: FoundOn
    gain_nano: Annotated[int | None, Named("gain"), OPTIONAL] = None
    author: Annotated[Digest | None, OPTIONAL] = None
    decision: Annotated[str, line(0, 32)] = ""
    result: Annotated[Digest | None, OPTIONAL] = None

    KIND: ClassVar = "carried"
    IS_ON_ONE_SPLIT: ClassVar = False  # it has no runs


def carried_over(
    base: Source, tree: Source, onto: Source, *, below: Source, above: Source
) -> tuple[Source, tuple[Edit, ...]] | None:
    """Return a step made on another rung's source, and its edits if it consists of some.

    `below` and `above` are the two rungs' baselines: constants in which these differ stay what they
    are above. `onto` itself comes back if nothing of the step is left; None: it does not fit.
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


def open_carried(ledger: Ledger, step: CarriedStep) -> Job[CarriedStep]:
    """Queue a step that was found elsewhere."""
    with ledger.store.transaction():
        return ledger.open_job(step)


def carried_ideas(
    ledger: Ledger, *, under_way: Collection[int | None]
) -> Iterator[tuple[Job[CarriedStep], Idea | Unfit]]:
    """Yield what waits, on the working line, oldest first; of what cannot be, which is closed, why.

    `under_way` are the jobs that an experiment is open for.
    """
    for job in ledger.store.jobs.open_jobs(ledger.key, CarriedStep):
        if job.id in under_way:
            continue
        made, result = _made(ledger, job)
        if not isinstance(made, Idea):
            with ledger.store.transaction():
                ledger.close_job(job, replace(job.step, decision=made, result=result))
        yield job, made


def end_carried(ledger: Ledger, number: int, decision: str, result: bytes) -> None:
    """Take a carried change out of the queue with its decision. Callers hold the transaction."""
    job = ledger.store.jobs.get(number, CarriedStep)
    if job is not None:
        ledger.close_job(job, replace(job.step, decision=fit_line(decision, 32), result=result))


def carried_again(ledger: Ledger, number: int) -> None:
    """Queue once more what was kept on a stack that did not pass. Callers hold the transaction."""
    job = ledger.store.jobs.get(number, CarriedStep)
    if job is not None:
        ledger.open_job(replace(job.step, decision="", result=None))


def _made(ledger: Ledger, job: Job[CarriedStep]) -> tuple[Idea | Unfit, bytes | None]:
    """Return what to try, or why nothing, and the record that says so if there is one."""
    step, working, baseline = job.step, ledger.explored, ledger.subject.source
    over = carried_over(
        ledger.source(step.base),
        ledger.source(step.tree),
        working,
        below=ledger.source(step.root),
        above=baseline,
    )
    if over is None:
        return "misfit", None
    source, edits = over
    if step.author is None:
        mark: bytes | None = fingerprint(source)
    else:  # a stranger's is parsed by a child only
        found = inspect(source, kind=ledger.publication.manifest.kind, baseline=baseline)
        mark = found.fingerprint
        if found.marks:
            return "marked", None
    if mark is None:
        return "misfit", None
    if mark == fingerprint(working):
        return "there", None
    if (tried := ledger.store.jobs.result_of(ledger.key.task, mark)) is not None:
        body = ledger.store.records.get(tried).body
        if isinstance(body, ResultBody) and body.stage == "screen":
            return "tried", tried
    proposal = Proposal(
        parent=working.tree,
        source=source,
        edits=edits,
        key=f"{CARRIED}:{(step.found_on.patch or step.tree).hex()[:12]}",
        title=step.title,
        why=step.why,
        proposer=CARRIED,
        fingerprint=mark,
    )
    idea = Idea(proposal=proposal, author=step.author, found_on=step.found_on, carried=job.id)
    return idea, None
