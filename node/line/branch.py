"""Branches: the working line continues from another tree than the verified head.

The other tree is an older head of this line or a peer's tree, which is inspected like all peer
code. The tree is measured here first. Then one transaction records the patch from the head to the
tree and makes the tree the working line.

A line's stack is the list of its patches that are not yet promoted. It leads from the verified head
to the working line. On a branch, its first patch is the one from the head to the other tree. The
branch ends when the line returns to the tree that it left, or when a promotion trial ends. A branch
never changes the verified head.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from agent.source.canonical import fingerprint
from node.line.job_step import JobStep, RunDescription, ended_runs
from node.line.line_context import LineContext
from node.line.line_writer import LineWriter
from node.line.plateaus import REACH_SD
from node.line.trial import MetricReading
from node.store.experiments import BRANCHING, is_branching
from node.store.jobs import Job, Line, PlannedRun
from node.store.store import Store
from protocol.codecs import choice, fit_line, long_text, single_line
from protocol.fields import Digest, Items, Named
from protocol.manifest import TaskManifest
from protocol.record_kinds import Origin
from protocol.rule import Policy
from protocol.runs import Run
from protocol.units import NANO

Where: TypeAlias = Literal["older", "peer", "head"]

_MAX_STACK: Final = 256
_OWN_TITLE: Final = "the task's baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A tree to continue from, its description, and the patch that made it, if any.

    `author` is set for a peer's tree. `theirs` is the peer's original tree if comments and
    docstrings were removed from it.
    """

    where: Where
    tree: bytes
    title: str
    patch: bytes | None
    author: bytes | None = None
    theirs: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchStep(JobStep):
    """A change of the working line from the tree `left`, with its stack, to the tree `tree`.

    The change is recorded as a patch from `base` to `tree`. `verified` is the head when the job was
    opened, and `reference_nano` are the scores of the reference runs of `left`. `where` is `older`
    for an older head, `peer` for a peer's tree, and `head` for the return from a branch. Closing
    the job sets `is_taken` (True if the working line changed), `record` and `patch`.
    """

    where: Annotated[str, choice("older", "peer", "head")]
    base: Digest
    tree: Digest
    title: Annotated[str, single_line(1, 120)]
    why: Annotated[str, long_text(600)]
    verified: Digest
    left: Digest
    left_stack: Annotated[tuple[Digest, ...], Items(0, _MAX_STACK)]
    reference_nano: Annotated[tuple[int, ...], Items(0, 8), Named("reference")]
    made_by: Digest | None = None
    author: Digest | None = None
    theirs: Digest | None = None
    is_taken: Annotated[bool, Named("taken")] = False
    record: Digest | None = None
    patch: Digest | None = None

    KIND: ClassVar = "branch"
    TIME_SPENT_ON: ClassVar = "other trees to continue from"
    IS_EXCLUSIVE: ClassVar = True

    @property
    def is_away(self) -> bool:
        """True if this step began a branch; False for a return, or if nothing changed."""
        return self.is_taken and self.where != "head"

    def describe(self, store: Store, run: PlannedRun) -> RunDescription:
        stage = "continuing from another tree"
        return RunDescription(self.title, stage, stage)

    def is_of_peers(self, own: bytes) -> bool:
        return self.author is not None

    def is_invalidated(self, runs: list[PlannedRun]) -> bool:
        """Return True: a change of the machine makes the reference runs worthless too.

        The job is dropped, not repeated, since another branch becomes due soon.
        """
        return True

    def advance(self, line_context: LineContext, job: Job[Any], runs: list[PlannedRun]) -> None:
        """Close the job once all runs of the tree have ended."""
        ended = ended_runs(runs)
        if len(ended) < len(runs):
            return
        behind_sd = behind_head_sd(self, ended, line_context.reading())
        closed = close_branch(line_context.line_writer, job, ended, behind_sd)
        if not closed.is_taken:
            line_context.activity.say(
                f"the working line stays as it is and does not go {self.title}",
                record=closed.record,
            )
        elif self.where != "head" and behind_sd is not None:
            how = "worse" if behind_sd > 0 else "better"
            line_context.activity.say(
                f"the working line goes {self.title}: {abs(behind_sd):.1f} sd {how} than before",
                record=closed.record,
            )
        line_context.on_record()


def branch_of(store: Store, line: Line) -> Job[BranchStep] | None:
    """Return the job that began the line's current branch; None if the line is on no branch."""
    if not _begins_branch(store, line.stack[:1]):
        return None
    for job in reversed(store.jobs.closed_jobs(line.key, BranchStep)):
        if job.step.patch == line.stack[0]:
            return job
    return None  # a damaged store lost its job: judge the stack like any other


def kept_in(store: Store, stack: Sequence[bytes]) -> int:
    """Return the number of kept patches in a line's stack, without one that begins a branch."""
    return len(stack) - _begins_branch(store, stack[:1])


def is_stack_full(store: Store, line: Line, policy: Policy) -> bool:
    """Return True if a line has enough kept patches for a promotion trial.

    Return False on a branch: a trial is due there only if the branch is also better than the head
    (`node.line.plateaus`).
    """
    is_branch = _begins_branch(store, line.stack[:1])
    most = most_keeps(store.records.manifest(line.task), policy)
    return len(line.stack) >= most and not is_branch


def most_keeps(manifest: TaskManifest | None, policy: Policy) -> int:
    """Return how many kept patches make a promotion trial due.

    With a holdout, each patch gets its own trial at once, so that an overfit patch does not make
    other patches fail.
    """
    program = manifest.program if manifest else None
    has_holdout = program is not None and program.holdout is not None
    return 1 if has_holdout else policy.keeps_per_promotion_trial


def older_root(line_writer: LineWriter, *, reach_sd: float, noise_sd: float) -> Root | None:
    """Return an earlier head to continue from; None if there is none.

    Return the head from which the fewest branches began since the current head was adopted; among
    equals, the latest. Heads that measured more than `reach_sd` worse than the current head are
    left out.
    """
    line, heads = line_writer.known_line, _heads(line_writer)
    order = list(heads)
    ago = order[: order.index(line.verified)] if line.verified in heads else order
    now_nano = heads.get(line.verified)
    # Only branches since the current head was adopted.
    tried = Counter(step.tree for step in _steps(line_writer) if step.verified == line.verified)
    found: list[tuple[int, int, bytes]] = []
    for promotions, tree in enumerate(reversed(ago), 1):
        behind_sd = _behind_sd(line_writer, heads[tree], now_nano, noise_sd)
        if behind_sd <= reach_sd and tree not in (line.working, line.verified):
            found.append((tried[tree], promotions, tree))
    if not found:
        return None
    _, promotions, tree = min(found)
    ago_words = "1 promotion" if promotions == 1 else f"{promotions} promotions"
    is_baseline = tree == line_writer.record_writer.manifest.baseline_tree
    return Root(
        where="older",
        tree=tree,
        title=_OWN_TITLE if is_baseline else f"the head of {ago_words} ago",
        patch=_patch_behind(line_writer, tree),
    )


def trees_gone_on_from(line_writer: LineWriter) -> set[bytes]:
    """Return the trees that branches began with.

    If comments and docstrings were removed from a peer's tree, return the original tree too.
    """
    steps = _steps(line_writer)
    return {step.tree for step in steps} | {step.theirs for step in steps if step.theirs}


def open_branch(line_writer: LineWriter, root: Root, *, why: str, runs: int) -> Job[BranchStep]:
    """Queue runs of a tree to branch to; the working line changes only after these runs."""
    line = line_writer.known_line
    step = BranchStep(
        where=root.where,
        base=line.verified,
        tree=root.tree,
        title=fit_line(f"on from {root.title}", 120),
        why=fit_line(why, 600),
        verified=line.verified,
        left=line.working,
        left_stack=line.stack,
        reference_nano=line.reference_nano,
        made_by=root.patch,
        author=root.author,
        theirs=root.theirs,
    )
    return line_writer.open_runs(step, role="candidate", tree=step.tree, count=runs)


def open_return(
    line_writer: LineWriter, branch: Job[BranchStep], *, why: str, runs: int
) -> Job[BranchStep]:
    """Queue the return to the tree that the branch left."""
    line, began = line_writer.known_line, branch.step
    step = BranchStep(
        where="head",
        base=line.working,
        tree=began.left,
        title="back to the head",
        why=fit_line(why, 600),
        verified=line.verified,
        left=line.working,
        left_stack=began.left_stack,
        reference_nano=line.reference_nano,
    )
    return line_writer.open_runs(step, role="candidate", tree=step.tree, count=runs)


def close_branch(
    line_writer: LineWriter, job: Job[BranchStep], runs: Sequence[Run], behind_sd: float | None
) -> BranchStep:
    """Record a tree's runs, and make the tree the working line if it is good enough.

    An older head is good enough if it runs here. A peer's tree must also be at most `REACH_SD`
    standard deviations worse than the working line. A return to the head needs neither.

    If the user changed the head or the working line since the job was opened, the runs are recorded
    but the working line stays.
    """
    line, step = line_writer.known_line, job.step
    is_near = behind_sd is not None and (step.author is None or behind_sd <= REACH_SD)
    is_there = (line.verified, line.working) == (step.verified, step.left)
    is_taken = is_there and (step.where == "head" or is_near)
    with line_writer.store.transaction():
        if step.theirs is not None and step.made_by and step.theirs != step.tree:
            line_writer.record_writer.stripped(step.made_by, step.theirs, step.tree)
        patch = line_writer.record_writer.patch(
            step.base,
            step.tree,
            title=step.title,
            why=step.why,
            parents=(step.made_by,) if step.made_by else (),
            origin=Origin(proposer=BRANCHING),
        )
        record = line_writer.record_writer.result(
            patch.id,
            step.base,
            step.tree,
            stage="keep" if is_taken else "screen",
            runs=runs,
            note=step.why,
        )
        mark = fingerprint(line_writer.source(step.tree))
        if not line_writer.store.jobs.tried(line_writer.key.task, mark):
            line_writer.store.jobs.mark_tried(line_writer.key.task, mark, record.id)
        if is_taken:
            stack = step.left_stack if step.where == "head" else (patch.id,)
            line_writer.go_on_at(step.tree, stack, runs)
        closed = replace(step, is_taken=is_taken, record=record.id, patch=patch.id)
        line_writer.close_job(job, closed)
    return closed


def behind_head_sd(step: BranchStep, runs: Sequence[Run], reading: MetricReading) -> float | None:
    """Return how much worse a tree measures than the reference runs of the tree that it replaces.

    The unit is standard deviations of one run; a negative value means that the tree is better.
    Return None if the tree does not run here, or there are no reference runs.
    """
    metrics = [run.metric_nano for run in runs if run.metric_nano is not None]
    if len(metrics) < len(runs) or not step.reference_nano:
        return None
    behind = fmean(reading.values(metrics)) - fmean(reading.values(step.reference_nano))
    return behind / reading.screening_sd


def _begins_branch(store: Store, first: Sequence[bytes]) -> bool:
    patches = (store.records.patch(patch) for patch in first)
    return any(patch is not None and is_branching(patch.origin) for patch in patches)


def _heads(line_writer: LineWriter) -> dict[bytes, int | None]:
    """Return the trees of this line's heads with their scores, from the baseline on, oldest first.

    Heads whose evidence was retracted, and trees adopted without evidence, are left out.
    """
    store = line_writer.store
    entries = {entry.id: entry for entry in store.experiments.listed(line_writer.key)}
    heads: dict[bytes, int | None] = {
        entry.tree: entry.metric_nano for entry in entries.values() if entry.stage == "baseline"
    }
    for adoption in store.experiments.adoptions(line_writer.key):
        entry = entries.get(adoption.body.evidence or b"")
        if entry is not None and store.records.retraction(entry.id) is None:
            heads.setdefault(adoption.body.to_tree, entry.metric_nano)
    return heads


def _behind_sd(
    line_writer: LineWriter, metric_nano: int | None, now_nano: int | None, noise_sd: float
) -> float:
    if metric_nano is None or now_nano is None:
        return 0.0
    return (
        line_writer.record_writer.manifest.metric.sign * (metric_nano - now_nano) / NANO / noise_sd
    )


def _steps(line_writer: LineWriter) -> list[BranchStep]:
    return [job.step for job in line_writer.store.jobs.closed_jobs(line_writer.key, BranchStep)]


def _patch_behind(line_writer: LineWriter, tree: bytes) -> bytes | None:
    """Return the patch that made a tree the head; None for the baseline."""
    evidence = line_writer.store.experiments.evidence_for(line_writer.key, tree)
    entries = line_writer.store.experiments.listed(line_writer.key)
    return next((entry.patch for entry in entries if entry.id == evidence), None)
