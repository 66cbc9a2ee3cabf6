"""The research loop of one line: which run comes next, until it is told to stop.

Everything it must remember is in the store before it acts (`ledger`), so that a killed loop goes on
where it was; what follows from a run that ended is elsewhere (`verdicts`). While one run trains,
the one before is scored and the next proposal is written.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from node.loop.ablation import only_simplifies, open_ablation
from node.loop.activity import Activity
from node.loop.attempts import Attempt, attempt_of
from node.loop.attestations import WantedClaim, open_attestation
from node.loop.catching_up import open_catch_up
from node.loop.doubts import open_remeasure
from node.loop.ideas import PLATEAU, Idea, Ideas
from node.loop.ledger import Ledger
from node.loop.peers import Peers
from node.loop.session import Session
from node.loop.steps import AttestationStep, ExperimentStep
from node.loop.submissions import submit
from node.loop.verdicts import Verdicts
from node.store.jobs import HEAD_TRIALS, Job, LineKey, PlannedRun, StoredOutcome
from protocol.rule import Policy
from protocol.source import Source
from trainer.evaluators.lm_bpb_1 import Floats

_PRIORITY = {
    "baseline": 0,
    "remeasure": 1,
    "checkpoint": 2,
    "catchup": 3,
    "attestation": 4,
    "bank": 5,
    "experiment": 6,
}
# These decide only when all their runs have ended; meanwhile nothing else begins.
_EXCLUSIVE = {*HEAD_TRIALS, "attestation"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """When a session ends by itself; None is never.

    `is_on_demand`: a session for what is handed in to it proposes nothing of its own and ends when
    that is decided.
    """

    max_experiments: int | None = None
    duration_s: float | None = None
    is_on_demand: bool = False


class Research:
    """Works on one line until it is told to stop or its goal is reached."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        session: Session,
        ideas: Ideas,
        verdicts: Verdicts,
        policy: Policy,
        goal: Goal,
        random_seed: Callable[[], int],
        on_record: Callable[[], None],
        activity: Activity,
        peers: Peers | None,
    ) -> None:
        self.activity = activity
        self._peers = peers
        self._ledger = ledger
        self._store = ledger.store
        self._session = session
        self._ideas = ideas
        self._policy = policy
        self._goal = goal
        self._random_seed = random_seed
        self._on_record = on_record
        self._wake = asyncio.Event()
        self._in_flight: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._peers_in_flight: set[tuple[int, int]] = set()
        self._started_s = time.monotonic()
        self._stopping = False
        self._paused = False
        self._checkpoint_wanted = False
        self._session_checkpoint_done = False
        self._stop_after_checkpoint = False
        self._opened = 0
        self._ablated_at = 0  # how many had been opened then
        self._wanted: set[bytes] = set()  # canonical ASTs of what was handed in
        self._wanted_jobs: set[int] = set()
        self._incumbent: dict[bytes, Floats] = {}
        self._verdicts = verdicts

    # Said from outside

    def pause(self) -> None:
        """Finish what runs and start nothing new."""
        self._paused = True
        self.activity.say("paused: the run at hand ends, nothing new starts")
        self._wake.set()

    def resume(self) -> None:
        """Go on after a pause."""
        self._paused = False
        self.activity.say("resumed")
        self._wake.set()

    def stop(self, *, at_checkpoint: bool = False) -> None:
        """Finish the run at hand and end; `at_checkpoint` judges the working line first."""
        if at_checkpoint and self._ledger.line and self._has_gains:
            self._paused = False
            self._checkpoint_wanted = self._stop_after_checkpoint = True
            self.activity.say("stopping after a checkpoint of the working line")
        else:
            self._stopping = True
            self.activity.say("stopping after the run at hand")
        self._wake.set()

    def submit(self, source: Source, *, title: str, why: str) -> None:
        """Take in a source as the next experiment; it is in the store before anything runs."""
        mark = submit(self._ledger, source, title=title, why=why)
        self._ideas.mark_tried(mark)
        if self._goal.is_on_demand:
            self._wanted.add(mark)
        self._wake.set()

    def attest(self, wanted: WantedClaim) -> int:
        """Queue a claim to be run again; return the job's number."""
        job = open_attestation(self._ledger, wanted)
        self._wanted_jobs.add(job.id)
        if job.state == "open":
            self._verdicts.advance(job)
        self._wake.set()
        return job.id

    def attempt_of(self, mark: bytes) -> Attempt | None:
        """Return what came of the source with this canonical AST, None while that is open."""
        ledger = self._ledger
        return attempt_of(ledger.store, ledger.key, mark, ledger.source, self._policy)

    @property
    def line_key(self) -> LineKey:
        """The line this loop works on."""
        return self._ledger.key

    @property
    def noise_sd(self) -> float:
        """The standard deviation of one run as known so far, in the metric's unit."""
        return self._verdicts.noise_sd

    # The loop

    async def run(self) -> None:
        """Work until stopped. Raises what a run, the store or the journal raised."""
        try:
            await self._begin()
            while not (self._stopping and not self._in_flight):
                run = self._next_run()
                if run is not None:
                    await self._start(run)
                elif self._in_flight:
                    await self._settle_one()
                elif not self._stopping:
                    await self._idle()
                self._wake.clear()
        finally:
            for task in self._in_flight.values():
                task.cancel()
            await self._ideas.close()
            await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def _begin(self) -> None:
        self._verdicts.begin()
        jobs = self._store.open_jobs(self._ledger.key)
        if self._ledger.line is None and not any(job.kind == "baseline" for job in jobs):
            jobs.append(self._ledger.open_baseline())
            self._on_record()
        for job in jobs:
            self._verdicts.advance(job)
        if self._ledger.line is not None:
            if not self._goal.is_on_demand:  # one answer is not worth two runs of its own
                self._ledger.forget_bank()
            self.activity.say("measuring what the baseline costs here in this session")
            self.activity.running("baseline", "calibrating")
            await self._session.runner.calibrate(self._random_seed())

    async def _idle(self) -> None:
        """Wait for a word from outside, at most until an announced session is over."""
        self.activity.idle("paused" if self._paused else "nothing to do")
        left_s = None
        if self._goal.duration_s:
            left_s = self._started_s + self._goal.duration_s - time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                await self._wake.wait()
        except TimeoutError:
            self._stopping = True

    def _next_run(self) -> PlannedRun | None:
        """The run to start now; None to wait for one that is under way."""
        if self._stopping or self._paused:
            return None
        queued = self._store.open_jobs(self._ledger.key)
        jobs = [job for job in queued if job.kind in _PRIORITY]
        jobs.sort(key=lambda job: (_PRIORITY[job.kind], job.id))
        for job in jobs:
            if run := self._unstarted(job):
                return run
        line = self._ledger.line
        kinds = {job.kind for job in jobs}
        if line is None or kinds & _EXCLUSIVE:
            return None
        if self._is_checkpoint_due():
            return None if jobs else self._open_peers_stack() or self._open_checkpoint()
        if self._stop_after_checkpoint or self._is_all_answered():
            self._stopping = self._stop_after_checkpoint or not jobs
            return None
        if not jobs and not self._goal.is_on_demand and (run := self._open_remeasure()):
            return run
        if run := self._open_peers_claim(is_busy=bool(jobs)):
            return run
        if len(line.bank_nano) < self._policy.bank_size and "bank" not in kinds:
            return self._unstarted(self._ledger.open_bank())
        # Without a bank there is nothing to screen against.
        if not line.bank_nano:
            return None
        is_asked = not self._goal.is_on_demand or self._wanted
        if is_asked and (idea := self._ideas.submitted(self._wanted)):
            return self._open(idea)
        if self._goal.is_on_demand:
            return None
        if self._is_goal_reached():
            self._stopping = not jobs
            return None
        if self._ideas.has_unfinished_business and jobs:
            return None
        is_time = self._opened - self._ablated_at >= PLATEAU and self._ideas.is_on_plateau
        if is_time and not jobs and (run := self._open_ablation()):
            return run
        return self._open_experiment()

    def _unstarted(self, job: Job) -> PlannedRun | None:
        for run in self._store.runs_of(job.id):
            if run.outcome is None and (run.job_id, run.ordinal) not in self._in_flight:
                return run
        return None

    def _is_checkpoint_due(self) -> bool:
        line = self._ledger.known_line
        if not self._has_gains:
            return False
        elapsed_h = (time.time() * 1000 - line.checkpoint_ms) / 3_600_000
        return (
            len(line.stack) >= self._policy.keeps_per_checkpoint
            or self._checkpoint_wanted
            or elapsed_h >= self._policy.checkpoint_hours
            or (not self._session_checkpoint_done and self._share() >= self._policy.session_share)
        )

    @property
    def _has_gains(self) -> bool:
        """Whether the working line has anything that a checkpoint could confirm."""
        return not only_simplifies(self._store, self._ledger.known_line.stack)

    def _share(self) -> float:
        """How much of an announced session is over."""
        shares = [0.0]
        if self._goal.max_experiments:
            shares.append(self._opened / self._goal.max_experiments)
        if self._goal.duration_s:
            shares.append((time.monotonic() - self._started_s) / self._goal.duration_s)
        return max(shares)

    def _is_all_answered(self) -> bool:
        """Whether this session is for what was handed in, and all of it is decided."""
        if not self._goal.is_on_demand:
            return False
        is_open = {job.id for job in self._store.open_jobs(self._ledger.key)}
        return self._wanted_jobs.isdisjoint(is_open) and all(
            self.attempt_of(mark) for mark in self._wanted
        )

    def _is_goal_reached(self) -> bool:
        return self._share() >= 1.0

    # Runs

    async def _start(self, run: PlannedRun) -> None:
        """Start a run and return when the next one may train."""
        trained = asyncio.Event()
        key = (run.job_id, run.ordinal)
        is_peers = self._is_peers(self._job(run.job_id))
        # Two scripts in league could tell each other what one of them is scored on.
        while is_peers and self._peers_in_flight & self._in_flight.keys():
            await self._finish_one()
        if is_peers:
            self._peers_in_flight = {key}
        self._in_flight[key] = asyncio.create_task(self._measure(run, trained.set))
        if self._peers:
            self._peers.count(is_peers=is_peers)
        if not self._goal.is_on_demand:
            self._ideas.prepare()
        waiting = asyncio.create_task(trained.wait())
        await asyncio.wait({waiting, self._in_flight[key]}, return_when="FIRST_COMPLETED")
        waiting.cancel()
        self._reap()
        # One run is scored at a time; a second one waiting would only make bases stale.
        while len(self._in_flight) > 1:
            await self._finish_one()

    async def _finish_one(self) -> None:
        await asyncio.wait(self._in_flight.values(), return_when="FIRST_COMPLETED")
        self._reap()

    async def _settle_one(self) -> None:
        waking = asyncio.create_task(self._wake.wait())
        await asyncio.wait({*self._in_flight.values(), waking}, return_when="FIRST_COMPLETED")
        waking.cancel()
        self._reap()

    def _reap(self) -> None:
        for key, task in list(self._in_flight.items()):
            if task.done():
                del self._in_flight[key]
                task.result()

    async def _measure(self, run: PlannedRun, on_trained: Callable[[], None]) -> None:
        job = self._job(run.job_id)
        title, stage = self._verdicts.describe(job, run)
        self.activity.running(title, stage)
        outcome = await self._session.runner.run(
            self._ledger.source(run.tree),
            run.seed,
            needs_audit=lambda public, _secret: self._verdicts.needs_audit(job, run, public),
            incumbent=self._incumbent.get(self._ledger.line.working) if self._ledger.line else None,
            on_trained=on_trained,
        )
        if outcome.claims is not None:
            self._remember_claims(run.tree, outcome.claims)
        record = outcome.to_run(run.role, quoting=not self._is_peers(job))
        stored = StoredOutcome(run=record, log_tail=outcome.log_tail)
        self._store.finish_run(run, stored)
        self.activity.finished(outcome.ms)
        self._verdicts.advance(job)

    def _remember_claims(self, tree: bytes, claims: Floats) -> None:
        line = self._ledger.line
        if line and tree in (line.working, line.verified):
            kept = {line.working, line.verified}
            self._incumbent = {t: c for t, c in self._incumbent.items() if t in kept}
            self._incumbent[tree] = claims

    def _job(self, job_id: int) -> Job:
        return next(job for job in self._store.open_jobs(self._ledger.key) if job.id == job_id)

    def _open_checkpoint(self) -> PlannedRun | None:
        self._checkpoint_wanted = False
        self._session_checkpoint_done = self._share() >= self._policy.session_share
        job = self._ledger.open_checkpoint(rotation=self._session.rotation)
        self._verdicts.advance(job)
        return self._unstarted(job)

    def _open_remeasure(self) -> PlannedRun | None:
        """Measure a head in doubt again, once nothing is built on it."""
        if self._has_gains:
            return None
        job = open_remeasure(self._ledger, rotation=self._session.rotation)
        if job is None:
            return None
        self._verdicts.advance(job)
        return self._unstarted(job)

    def _open_peers_claim(self, *, is_busy: bool) -> PlannedRun | None:
        """Begin to catch up with the best of the board, or to audit a claim; None: neither."""
        peers = self._peers
        if peers is None or self._goal.is_on_demand or is_busy:
            return None
        if not self._has_gains and (step := peers.catch_up(rotation=self._session.rotation)):
            job = open_catch_up(self._ledger, step)
        elif peers.is_due and (wanted := peers.audit()):
            job = open_attestation(self._ledger, wanted)
        else:
            return None
        self._verdicts.advance(job)
        return self._unstarted(job)

    def _open_peers_stack(self) -> PlannedRun | None:
        """Let what trusted authors claim join the working line that is about to be judged."""
        is_asked = self._goal.is_on_demand or self._stop_after_checkpoint
        if self._peers is None or is_asked or not self._ledger.known_line.bank_nano:
            return None
        stack = self._peers.stack()
        return self._open(stack) if stack else None

    def _open_experiment(self) -> PlannedRun | None:
        if self._peers and self._peers.is_due and (theirs := self._peers.idea()):
            return self._open(theirs)
        idea = self._ideas.take()
        if idea is None:
            if not self._in_flight:  # what runs may still move the working line
                if run := self._open_ablation():
                    return run
                self.activity.say("out of ideas: every proposal was tried before")
                self.stop(at_checkpoint=True)
            return None
        return self._open(idea)

    def _open_ablation(self) -> PlannedRun | None:
        """Ask what a part of the head is worth, while nothing is built on it."""
        self._ablated_at = self._opened
        job = None if self._has_gains else open_ablation(self._ledger)
        if job is None:
            return None
        self._verdicts.advance(job)
        return self._unstarted(job)

    def _open(self, idea: Idea) -> PlannedRun | None:
        self._opened += 1
        self._ideas.mark_tried(idea.proposal.fingerprint)
        job = self._ledger.open_experiment(
            idea.proposal,
            idea.parents,
            submission=idea.submission,
            author=idea.author,
            claim_milli=idea.claim_milli,
            co_authors=idea.co_authors,
        )
        return self._unstarted(job)

    def _is_peers(self, job: Job) -> bool:
        """Whether a job runs a peer's code: what that prints goes into no record of ours."""
        if job.kind == "experiment":
            return ExperimentStep.from_value(job.body).author is not None
        if job.kind == "attestation":
            author = AttestationStep.from_value(job.body).author
            return author != self._ledger.publication.author
        return job.kind == "catchup"
