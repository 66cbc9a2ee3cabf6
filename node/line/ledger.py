"""The books of one line: what the loop decided, written as records and queue entries.

Every method is one transaction: a patch, its result, the line's new state and the end of its job
are on the disk together or not at all. What is decided is none of its business (`node.line.trial`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.proposal import Proposal
from node.line.identity import Identity
from node.line.intents import TTL_S, others_intents
from node.line.noise import LEAST_RUNS, unselected
from node.line.publication import Publication
from node.line.session import Subject
from node.line.splits import fresh_nonce
from node.line.steps import (
    SUBMITTED,
    CatchUpStep,
    CheckpointStep,
    ExperimentStep,
    RemeasureStep,
    SubmissionStep,
)
from node.line.surroundings import meta_key
from node.line.trial import Confirmation
from node.store.blobs import Blobs
from node.store.jobs import HEAD_TRIALS, ON_A_SPLIT, Job, JobKind, Line, LineKey, PlannedRun
from node.store.store import Store
from node.vetting.patches import PatchRecord
from protocol.encoding import Value, decode, encode
from protocol.errors import ArnodeError
from protocol.fields import fit_line, fit_text
from protocol.records import Record
from protocol.runs import Role, Run
from protocol.source import Source

BASELINE_RUNS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedExperiment:
    """The ids of the two records that an experiment is."""

    patch: bytes
    result: bytes


class Ledger:
    """Writes one line's history. `line` is None before the baseline is measured."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        identity: Identity,
        subject: Subject,
        clock_ms: Callable[[], int],
        random_seed: Callable[[], int],
    ) -> None:
        self.store = store
        self.key = LineKey(task=subject.manifest.id, hardware_class=subject.hardware_class)
        self.line = store.load_line(self.key)
        self.blobs = blobs
        self._subject = subject
        self.publication = Publication(
            store=store, blobs=blobs, identity=identity, subject=subject, clock_ms=clock_ms
        )
        self._clock_ms = clock_ms
        self._random_seed = random_seed

    @property
    def known_line(self) -> Line:
        """The line, once its baseline is measured."""
        if self.line is None:
            raise ArnodeError("the baseline is not measured yet", "start the node first")
        return self.line

    @property
    def explored(self) -> Source:
        """Where the node explores: the working line, before its first run the task's baseline."""
        return self.source(self.line.working) if self.line else self._subject.source

    def source(self, tree: bytes) -> Source:
        """The exact source of a tree that ran here."""
        return self.blobs.get_source(tree)

    def others_intents(self) -> list[Record]:
        """What others say that they are trying on this line now."""
        return others_intents(
            self.store, self.key, author=self.publication.author, now_ms=self._clock_ms()
        )

    def intend(self, proposal: Proposal) -> None:
        """Say that this is about to be tried."""
        with self.store.transaction():
            self.publication.intent(proposal.parent, fit_line(proposal.title, 120), ttl_s=TTL_S)

    # The baseline

    def announce(self) -> None:
        """Record who works here on which task, where that is not known yet."""
        with self.store.transaction():
            self.publication.announce()

    def open_baseline(self) -> Job:
        """Queue the baseline's two runs."""
        with self.store.transaction():
            tree = self.blobs.put_source(self._subject.source)
            job = self.open_job("baseline", {"tree": tree})
            for _ in range(BASELINE_RUNS):
                self.plan(job, role="base", tree=tree)
        return job

    def plan_baseline_run(self, job: Job) -> None:
        """Queue one more run of the baseline, in place of one that failed."""
        self.plan(job, role="base", tree=self._subject.source.tree)

    def close_baseline(self, job: Job, runs: Sequence[Run], fingerprint: bytes) -> Record:
        """Record the baseline; both lines start there."""
        tree = self._subject.source.tree
        with self.store.transaction():
            record = self.publication.result(
                None,
                tree,
                tree,
                stage="baseline",
                runs=runs,
                note="the task's baseline",
                has_verdict=True,
            )
            self.store.mark_tried(self._subject.manifest.id, fingerprint, record.id)
            self._save(
                Line(
                    task=self.key.task,
                    hardware_class=self.key.hardware_class,
                    verified=tree,
                    working=tree,
                    stack=(),
                    bank_nano=_public(runs),
                    checkpoint_ms=self._clock_ms(),
                )
            )
            self.store.close_job(job.id)
        return record

    # Experiments

    def open_submission(self, source: Source, *, fingerprint: bytes, title: str, why: str) -> Job:
        """Queue a source that was handed in; from now on its canonical AST counts as tried."""
        step = SubmissionStep(
            tree=self.blobs.put_source(source),
            fingerprint=fingerprint,
            title=fit_line(title, 120),
            why=fit_text(why, 600),
        )
        with self.store.transaction():
            job = self.open_job("submission", step.to_value())
            self.store.mark_tried(self._subject.manifest.id, fingerprint)
        return job

    def open_experiment(
        self,
        proposal: Proposal,
        parents: tuple[bytes, ...] = (),
        *,
        submission: Job | None = None,
        author: bytes | None = None,
        claim_milli: int | None = None,
        co_authors: tuple[bytes, ...] | None = None,
    ) -> Job:
        """Queue a proposal's screen; from now on its canonical AST counts as tried.

        `submission` is the job that it waited as, which ends with this; `author`, `claim_milli`
        and `co_authors` are peers', and what they say it gains.
        """
        line = self.known_line
        step = ExperimentStep(
            base=proposal.parent,
            tree=self.blobs.put_source(proposal.source),
            fingerprint=proposal.fingerprint,
            key=fit_line(proposal.key, 120),
            title=fit_line(proposal.title, 120),
            why=fit_text(proposal.why, 600),
            proposer=proposal.proposer,
            edits=proposal.edits,
            bank_nano=line.bank_nano,
            parents=parents,
            author=author,
            claim_milli=claim_milli,
            co_authors=co_authors,
            model=proposal.model and fit_line(proposal.model, 80),
            program=proposal.program,
            tokens=proposal.cost.tokens_in + proposal.cost.tokens_out or None,
            usd_nano=proposal.cost.usd_nano or None,
        )
        with self.store.transaction():
            job = self.open_job("experiment", step.to_value())
            self.plan(job, role="candidate", tree=step.tree)
            if submission:
                self.store.close_job(submission.id)
            self.store.mark_tried(self._subject.manifest.id, step.fingerprint)
        return job

    def plan_recheck(self, job: Job, step: ExperimentStep) -> None:
        """Queue the second run of a promising proposal."""
        self.plan(job, role="candidate", tree=step.tree)

    def close_experiment(
        self, job: Job, step: ExperimentStep, runs: Sequence[Run], *, note: str
    ) -> RecordedExperiment:
        """Record a decided proposal with its runs; a kept one becomes the working line.

        One that was handed in and whose base moved on is queued again: no edits could carry it
        over, and what it measured counts against the old base only.
        """
        kept = step.decision == "kept"
        with self.store.transaction():
            patch = self.publication.patch(
                step.base,
                step.tree,
                title=step.title,
                why=step.why,
                parents=step.parents,
                origin=step.origin,
            )
            record = self.publication.result(
                patch.id,
                step.base,
                step.tree,
                stage="keep" if kept else "screen",
                runs=runs,
                note=note,
            )
            self.store.mark_tried(self._subject.manifest.id, step.fingerprint, record.id)
            if kept:
                self.go_on_from(step.tree, patch.id, runs[1:])
            if step.decision == "rebased" and step.proposer == SUBMITTED:
                again = SubmissionStep(
                    tree=step.tree,
                    fingerprint=step.fingerprint,
                    title=step.title,
                    why=step.why,
                    parents=(patch.id,),
                )
                self.open_job("submission", again.to_value())
            self.store.update_job_body(job.id, step.to_value())
            self.store.close_job(job.id)
        return RecordedExperiment(patch=patch.id, result=record.id)

    def go_on_from(self, tree: bytes, patch: bytes, runs: Sequence[Run]) -> None:
        """Make a tree the working line, by a patch, with these runs of it as the bank."""
        self.go_on_at(tree, (*self.known_line.stack, patch), runs)

    def go_on_at(self, tree: bytes, stack: tuple[bytes, ...], runs: Sequence[Run]) -> None:
        """Let the working line be a tree that a stack leads to from the head, with these runs."""
        line = self.known_line
        self._save(replace(line, working=tree, stack=stack, bank_nano=_public(runs)))

    # The bank

    def open_bank(self) -> Job:
        """Queue one more run of the working line, for screening only."""
        line = self.known_line
        with self.store.transaction():
            job = self.open_job("bank", {"tree": line.working})
            self.plan(job, role="base", tree=line.working)
        return job

    def close_bank(self, job: Job, run: PlannedRun) -> None:
        """Add a run to the bank, unless the working line has moved on meanwhile."""
        line = self.known_line
        with self.store.transaction():
            if run.outcome and run.outcome.run.metric_nano is not None and run.tree == line.working:
                bank = (*line.bank_nano, run.outcome.run.metric_nano)
                self._save(replace(line, bank_nano=bank))
            self.store.close_job(job.id)

    def forget_bank(self) -> None:
        """Let screens of a new session wait for new runs: another day measures a little off."""
        if self.line and self.line.bank_nano:
            self._save(replace(self.line, bank_nano=()))

    # Trials of the verified head

    def plan_checkpoint_pair(
        self, job: Job, step: CheckpointStep | CatchUpStep | RemeasureStep
    ) -> None:
        """Commit to a fresh pair: one seed, base and candidate in random order."""
        self.plan_pair(job, step.base, step.tree, self._random_seed())

    def plan_anchors(self, job: Job, seeds: Sequence[int]) -> None:
        """Queue the baseline tree beside the last pairs, with their seeds."""
        with self.store.transaction():
            for seed in seeds:
                tree = self._subject.source.tree
                self.store.plan_run(job.id, role="anchor", tree=tree, seed=seed)

    def record_confirmation(
        self,
        patch: bytes,
        step: CheckpointStep | CatchUpStep | RemeasureStep,
        runs: Sequence[Run],
        confirmation: Confirmation,
        *,
        note: str,
    ) -> Record:
        """Record what pairs with the head came to; part of whatever follows from it.

        Others of the class learn of the noise from the base runs, if there are enough.
        """
        record = self.publication.result(
            patch,
            step.base,
            step.tree,
            stage="confirm",
            runs=runs,
            note=note,
            has_verdict=confirmation.judgement is not None,
        )
        if len(fresh := unselected(runs)) >= LEAST_RUNS:
            self.publication.noise(step.base, fresh)
        return record

    def move_to(self, tree: bytes, runs: Sequence[Run]) -> None:
        """Let both lines begin anew at a tree, with these runs of it as the bank."""
        if tree != self.known_line.verified:
            self._note_move()
        self._save(
            replace(
                self.known_line,
                verified=tree,
                working=tree,
                stack=(),
                bank_nano=_public(runs),
                checkpoint_ms=self._clock_ms(),
            )
        )

    # By hand

    def move_head(
        self, tree: bytes, *, evidence: bytes | None, stripped_from: PatchRecord | None = None
    ) -> Record:
        """Adopt a tree at the user's word; without evidence it is marked unverified.

        `stripped_from`: the stranger's patch whose tree this is without its prose.
        """
        line = self.known_line
        if any(job.kind in HEAD_TRIALS for job in self.store.open_jobs(self.key)):
            raise ArnodeError(
                "a checkpoint is on trial against the present head",
                "let it finish first (`arnode start`, then `arnode stop --at-checkpoint`)",
            )
        with self.store.transaction():
            if stripped_from is not None:
                self.publication.stripped(stripped_from.id, stripped_from.body.tree, tree)
            record = self.publication.adoption(line.verified, tree, evidence=evidence)
            self._note_move()
            self._save(replace(line, verified=tree, working=tree, stack=(), bank_nano=()))
        return record

    @property
    def moved_at_job(self) -> int:
        """The number of the last job before the verified head last moved; 0 if it never did."""
        kept = self.store.meta(meta_key("moved", self.key))
        value = decode(kept) if kept else 0
        return value if isinstance(value, int) else 0

    # Parts

    def _note_move(self) -> None:
        self.store.set_meta(meta_key("moved", self.key), encode(self.store.last_job()))

    def open_job(self, kind: JobKind, body: Value) -> Job:
        """Put a job of this line into the queue, with a secret split of its own if it needs one."""
        split, now_ms = fresh_nonce() if kind in ON_A_SPLIT else None, self._clock_ms()
        return self.store.open_job(self.key, kind, body, created_ms=now_ms, split=split)

    def plan_pair(self, job: Job, base: bytes, candidate: bytes, seed: int) -> None:
        """Commit to a pair: one seed, base and candidate in random order."""
        order: list[tuple[Role, bytes]] = [("base", base), ("candidate", candidate)]
        if self._random_seed() % 2:
            order.reverse()
        with self.store.transaction():
            for role, tree in order:
                self.store.plan_run(job.id, role=role, tree=tree, seed=seed)

    def plan(self, job: Job, *, role: Role, tree: bytes) -> None:
        """Commit to one run of a tree."""
        self.store.plan_run(job.id, role=role, tree=tree, seed=self._random_seed())

    def _save(self, line: Line) -> None:
        self.store.save_line(line)
        self.line = line


def _public(runs: Sequence[Run]) -> tuple[int, ...]:
    return tuple(run.metric_nano for run in runs if run.metric_nano is not None)
