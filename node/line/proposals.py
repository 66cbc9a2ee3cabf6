"""Proposals of this node that wait for the owner's decision before they run.

A proposal is a job without runs. It stays open until its experiment begins or it is dropped; the
experiment replaces it in one transaction. So a kill neither loses it nor runs it twice. Decisions
need only the store, with or without a running node.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from agent.source.canonical import fingerprint
from agent.source.edits import edits_between
from node.line.attempts import is_queued, result_here
from node.line.handed_in import check_submission
from node.line.idea import EDITED, Idea
from node.line.line_writer import LineWriter
from node.store.blobs import Blobs
from node.store.jobs import Job, LineKey
from node.store.store import Store, meta_key
from node.terminal.durations import parse_duration
from protocol.codecs import choice, fit_text, long_text
from protocol.errors import Rejected, UsageError
from protocol.fields import OPTIONAL, Mapped, Named, Natural
from protocol.record_kinds import MAX_WHY
from protocol.source import Source

State: TypeAlias = Literal[
    "waiting", "approved", "edited", "unanswered", "rejected", "skipped", "outdated"
]

MAX_NOTE: Final = 1_000
NO_APPROVAL: Final = "off"
_SKIP: Final = ":skip"
_RUNS: Final = frozenset[State]({"approved", "edited", "unanswered"})
_RULE: Final = "approve"
_NOTE: Final = long_text(MAX_NOTE)
_KNOWN_REJECTIONS: Final = 200  # the latest, which are never proposed again


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalStep(Mapped):
    """An idea and the owner's decision. `note` is for its proposer.

    States that run: `approved`, `edited` by the owner, and `unanswered` for the allowed time. A
    proposal that is `rejected`, `skipped` without an answer, or `outdated` (it no longer fits the
    working line, or its source ran meanwhile) never runs.
    """

    idea: Idea
    state: Annotated[
        State,
        choice("waiting", "approved", "edited", "unanswered", "rejected", "skipped", "outdated"),
    ] = "waiting"
    note: Annotated[str, long_text(MAX_NOTE)] = ""
    decided_ms: Annotated[Natural | None, Named("decided"), OPTIONAL] = None

    KIND: ClassVar = "proposal"
    IS_ON_ONE_SPLIT: ClassVar = False  # it has no runs

    @property
    def runs(self) -> bool:
        """True if an experiment follows from its state."""
        return self.state in _RUNS


ProposalJob: TypeAlias = Job[ProposalStep]


def open_proposal(line_writer: LineWriter, idea: Idea) -> ProposalJob:
    """Store an idea that waits for the owner, and count its canonical AST as tried."""
    with line_writer.store.transaction():
        job = line_writer.open_job(ProposalStep(idea=idea))
        line_writer.store.jobs.mark_tried(line_writer.key.task, idea.fingerprint)
    return job


def settle_proposal(store: Store, job: ProposalJob, state: State, *, now_ms: int) -> ProposalJob:
    """Store a decision that nobody made: on an unanswered or an outdated proposal."""
    return _decide(store, job, replace(job.step, state=state, decided_ms=now_ms))


def proposals_of(store: Store, line: LineKey) -> list[ProposalJob]:
    """Return a line's proposals that wait for a decision or for their run, oldest first."""
    return store.jobs.open_jobs(line, ProposalStep)


def open_proposals(store: Store) -> list[ProposalJob]:
    """Return the open proposals of all lines, oldest first."""
    jobs = [job for line in store.jobs.lines() for job in proposals_of(store, line.key)]
    return sorted(jobs, key=lambda job: job.id)


def rejections_of(store: Store, line: LineKey) -> list[ProposalStep]:
    """Return the latest proposals on a line that the owner rejected, oldest first."""
    steps = (job.step for job in store.jobs.closed_jobs(line, ProposalStep))
    return [step for step in steps if step.state == "rejected"][-_KNOWN_REJECTIONS:]


def has_run(store: Store, line: LineKey, mark: bytes) -> bool:
    """Return True if the source with this fingerprint was measured here or is being measured."""
    return is_queued(store, line, mark) or result_here(store, line, mark) is not None


def find_proposal(store: Store, number: int) -> ProposalJob:
    """Return a proposal by its number. Raises UsageError."""
    job = store.jobs.get(number, ProposalStep)
    if job is None:
        raise UsageError(f"there is no proposal {number}", "`arnode approve` lists proposals")
    return job


def approve(store: Store, number: int, *, now_ms: int) -> ProposalJob:
    """Let a proposal run. Raises UsageError unless it waits."""
    job = _waiting(store, number)
    return _decide(store, job, replace(job.step, state="approved", decided_ms=now_ms))


def reject(store: Store, number: int, note: str, *, now_ms: int) -> ProposalJob:
    """Drop a proposal that has not begun, with a note that proposers read. Raises UsageError."""
    job = _undecided(store, number)
    words = _NOTE.read(note.strip())
    if isinstance(words, Rejected):
        raise UsageError(
            "the note is too long or has invisible characters",
            f"write at most {MAX_NOTE} visible characters",
        )
    step = replace(job.step, state="rejected", note=words, decided_ms=now_ms)
    return _decide(store, job, step)


def edit(
    store: Store, blobs: Blobs, number: int, files: Mapping[str, bytes], *, now_ms: int
) -> ProposalJob:
    """Let the owner's source run instead of a proposal's; `files` are the files that differ.

    Raises UsageError if the proposal has begun, or the source may not be run or ran before.
    """
    job = _undecided(store, number)
    idea, task = job.step.idea, job.line.task
    proposed, base = blobs.get_source(idea.tree), blobs.get_source(idea.base)
    source = _edited(proposed, files)
    manifest = store.records.manifest(task)
    if manifest is None:
        raise UsageError("the proposal's task is not stored here", "run `arnode home fsck`")
    check_submission(source, manifest, blobs.get_source(manifest.baseline_tree))
    mark = fingerprint(source)
    if source.tree == proposed.tree:
        raise UsageError("the source is unchanged", f"`arnode approve {number}` runs it")
    if mark == fingerprint(base):
        raise UsageError("this source does what its base does", "change more than comments")
    if mark != idea.fingerprint and store.jobs.tried(task, mark):
        raise UsageError("this source was tried or proposed before", "change something else")
    changed = replace(
        idea,
        tree=blobs.put_source(source),
        fingerprint=mark,
        edits=edits_between(base, source),
        why=fit_text(f"Edited by the owner. {idea.why}".strip(), MAX_WHY),
        proposer=EDITED,
    )
    step = replace(job.step, idea=changed, state="edited", decided_ms=now_ms)
    with store.transaction():
        store.jobs.mark_tried(task, mark)
        return _decide(store, job, step)


def note_rule(store: Store, line: LineKey, rule: str) -> None:
    """Store the setting `approve` of the session on a line, which documents show."""
    store.set_meta(meta_key(_RULE, line), rule.encode())


def rule_of(store: Store, line: LineKey) -> str:
    """Return the setting `approve` of the last session on a line."""
    kept = store.meta(meta_key(_RULE, line))
    return NO_APPROVAL if kept is None else kept.decode("utf-8", "replace")


def answer_span_ms(rule: str) -> int | None:
    """Return how long a rule lets a proposal wait; None without a limit."""
    span = rule.removesuffix(_SKIP)
    return None if span in (NO_APPROVAL, "wait") else round(1000 * parse_duration(span))


def skips_unanswered(rule: str) -> bool:
    """Return True if a rule drops what nobody answered in time; else it runs."""
    return rule.endswith(_SKIP)


def _edited(source: Source, files: Mapping[str, bytes]) -> Source:
    known = dict(source.files)
    if unknown := sorted(set(files) - set(known)):
        raise UsageError(
            f"{unknown[0]} is not an editable file of this task", f"edit {', '.join(known)}"
        )
    return Source.of({**known, **files})


def _undecided(store: Store, number: int) -> ProposalJob:
    """Return a proposal that has neither begun nor been dropped."""
    job = find_proposal(store, number)
    if job.state != "open":
        fate = "has begun already" if job.step.runs else f"is {job.step.state} already"
        raise UsageError(f"proposal {number} {fate}", "`arnode approve` lists open proposals")
    return job


def _waiting(store: Store, number: int) -> ProposalJob:
    job = _undecided(store, number)
    if job.step.state != "waiting":
        raise UsageError(
            f"proposal {number} is {job.step.state} already", "it runs as soon as it can"
        )
    return job


def _decide(store: Store, job: ProposalJob, step: ProposalStep) -> ProposalJob:
    with store.database.writing():
        decided = store.jobs.update_step(job, step)
        if not step.runs:
            store.jobs.close_job(job.id)
    return decided
