"""The research loop of one line: it makes the runs that the agenda chooses until the session ends.

Everything that the loop must remember is in the store before it acts (`line_writer`), so a killed
loop resumes where it was. Each kind of job decides itself what follows from a finished run
(`node.line.job_step`). While one run trains, the loop scores the previous run and writes the next
proposal.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from node.line.attempts import Attempt
from node.line.baseline import BaselineStep, open_baseline
from node.line.early_stop import early_stopper_for
from node.line.experiment import ExperimentStep
from node.line.handed_in import submit
from node.line.invalidation import rebase_outdated
from node.line.job_kinds import KINDS
from node.line.job_step import JobStep, RunDescription
from node.line.line_context import LineContext
from node.line.open_work import open_work, upcoming
from node.line.rerun import WantedClaim, falls_short, open_rerun, with_answer
from node.line.rung_transfer import RungTransferStep, TransferCandidate, open_rung_transfer
from node.loop.agenda import Agenda
from node.loop.devices import Lane, Lanes
from node.loop.ideas import Ideas
from node.loop.in_flight import InFlight, Lost
from node.loop.pausing import Pause
from node.loop.planning import PlannerState
from node.loop.session_plan import Rest
from node.loop.slots import ArmState
from node.store.jobs import Job, LineKey, PlannedRun, StoredOutcome
from node.terminal.durations import slept_words
from node.terminal.interrupts import STOPPING
from node.terminal.vocabulary import many
from protocol.source import Source
from trainer.host.power_state import Steady
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.outcome import Answers
from trainer.measuring.training import WAITS, PutOff

_CALIBRATION: Final = (0, 0)  # key of the calibration among the runs in flight; it has no job
_NAP_S: Final = 60.0  # waits are short, since timers stop while the machine is suspended


def _never(_curve: LossCurve) -> None:
    """Judge no run hopeless: a stand-in for runs without an early stopper."""


class Research:
    """A loop that works on one line until it is stopped or reaches its goal."""

    def __init__(
        self,
        *,
        line_context: LineContext,
        ideas: Ideas,
        agenda: Agenda,
        news: asyncio.Event | None = None,
    ) -> None:
        """Store what the loop uses. Setting the event `news` makes the loop look for work."""
        self.activity = activity = line_context.activity
        self._line_context = line_context
        self._line_writer = line_context.line_writer
        self._store = line_context.store
        self._session = session = line_context.session
        self._ideas = ideas
        self._agenda = agenda
        self._wake = news or asyncio.Event()
        self._lanes = Lanes(
            session.runners, share_processor=session.is_shared, on_change=self._wake.set
        )
        activity.lanes, activity.waits_s = self._lanes.count, lambda: self._lanes.waits_s
        self._in_flight = InFlight()
        self._untrusted_in_flight: set[tuple[int, int]] = set()
        self.pausing = Pause()
        self._is_stopped = False
        self.is_interrupted = False
        self.has_given_way = False
        self._incumbent: dict[bytes, Answers] = {}
        for runner in session.runners:
            runner.notify_waits(self._report_wait)

    # Requests from outside

    def pause(self, *, for_s: float | None = None) -> None:
        """Finish current runs and start nothing new, until `resume` or for `for_s` seconds."""
        self.pausing.begin(for_s, self.resume)
        self.activity.say(f"{self.pausing.stage}: the current run ends, nothing new starts")
        self._wake.set()

    def pause_as(self, other: "Research") -> None:
        """Pause like the loop of the previous session, if that loop is paused."""
        if other.is_paused:
            self.pause(for_s=other.pausing.left_s)

    async def pause_at_once(self, *, for_s: float | None = None) -> Lost:
        """Interrupt all runs, pause, and return what was lost. The runs are repeated later."""
        self.pausing.begin(for_s, self.resume)
        lost = await self._in_flight.end_all()
        self.activity.say(f"{self.pausing.stage}: {lost}")
        self._wake.set()
        return lost

    def resume(self) -> None:
        """End the pause."""
        if self.pausing.is_on:
            self.activity.say("the pause is over: runs start again")
        self.pausing.end()
        self._wake.set()

    def stop(self, *, after_promotion_trial: bool = False) -> None:
        """End after the current run, or with `after_promotion_trial` after a promotion trial."""
        self._is_stopped, self.has_given_way = True, False
        if after_promotion_trial:
            if self._agenda.end_after_promotion_trial():
                self.pausing.end()
        else:
            self._end()
            self.activity.say(STOPPING if self.is_interrupted else "stopping after the current run")
        self._wake.set()

    def interrupt(self, *, after_promotion_trial: bool = False) -> None:
        """Stop as `stop` does, after a Ctrl-C. A second Ctrl-C ends the session at once."""
        self.is_interrupted = True
        self.stop(after_promotion_trial=after_promotion_trial)

    def terminate(self) -> None:
        """Stop as `stop` does, after a SIGTERM. A Ctrl-C then ends the session at once."""
        self.stop()
        self.is_interrupted = True

    def hold(self, for_s: float, then: Callable[[], None]) -> None:
        """Start nothing new while the user is asked how to stop; call `then` if no answer comes."""
        self.pausing.begin(for_s, then)
        self._wake.set()

    @property
    def trial_s(self) -> tuple[float, float] | None:
        """The least and most seconds of a promotion trial now; None without patches to judge."""
        return self._agenda.judging.trial_s

    def give_way(self, why: str) -> None:
        """Finish the current run, then end so that another session can run.

        Do nothing if this session is already ending. If `stop` is called before the end, the other
        session does not start either.
        """
        if not (self._is_stopped or self._agenda.is_over):
            self.has_given_way = True
            self._end()
            self.activity.say(why)
            self._wake.set()

    def make_way(self, why: str) -> None:
        """Decide all open jobs, then end so that another session can run."""
        if not (self._is_stopped or self._agenda.is_over):
            self.has_given_way = True
            self._agenda.make_way()
            self.activity.say(why)
            self._wake.set()

    @property
    def is_stopped(self) -> bool:
        """True if the session was asked to stop."""
        return self._is_stopped

    def _end(self) -> None:
        """Start no more runs. Leave runs that wait for an idle machine to the next session."""
        self._agenda.end()
        for runner in self._session.runners:
            runner.hurry()

    def submit(self, source: Source, *, title: str, why: str) -> None:
        """Queue a source as the next experiment. It is in the store before anything runs."""
        mark = submit(self._line_writer, source, title=title, why=why)
        self._ideas.mark_tried(mark)
        self._agenda.want(mark)
        self._wake.set()

    def look(self) -> None:
        """Look for work again, as the owner decided on a proposal."""
        self._wake.set()

    def rerun(self, wanted: WantedClaim) -> int:
        """Queue a re-run of a claim; return the job's number."""
        self._line_context.notice_change()  # without this it might join a job whose pairs are void
        job = open_rerun(self._line_writer, wanted)
        self._agenda.want_job(job)
        if job.state == "open":
            self._line_context.advance(job)
        self._wake.set()
        return job.id

    def carry(self, finds: Sequence[TransferCandidate]) -> tuple[int, ...]:
        """Queue one job for each transfer from another rung; return the jobs' numbers in order.

        A transfer that already waits is not queued twice.
        """
        numbers = []
        waiting = {
            job.step: job for job in self._store.jobs.open_jobs(self.line_key, RungTransferStep)
        }
        for candidate in finds:
            step = RungTransferStep(finds=(candidate,))
            job = waiting.get(step) or open_rung_transfer(self._line_writer, step)
            waiting[step] = job
            self._agenda.want_job(job, is_judged=True)
            numbers.append(job.id)
        self._wake.set()
        return tuple(numbers)

    def attempt_of(self, mark: bytes) -> Attempt | None:
        """Return the result of the source with this fingerprint; None while it is undecided."""
        return self._agenda.attempt_of(mark)

    def upcoming(self, most: int) -> list[RunDescription]:
        """Return the next runs, as far as they are planned."""
        return upcoming(self._store, self.line_key, self._in_flight.keys, most=most)

    @property
    def is_paused(self) -> bool:
        """True if nothing new starts until `resume` is called or the pause is over."""
        return self.pausing.is_on

    @property
    def line_key(self) -> LineKey:
        """The line this loop works on."""
        return self._line_writer.key

    @property
    def noise_sd(self) -> float:
        """The current estimate of the noise, in the metric's unit."""
        return self._line_context.noise.sd()

    @property
    def screening_sd(self) -> float:
        """The noise on the public split, which decides experiments; in the metric's unit."""
        return self._line_context.reading().screening_sd

    @property
    def arm_states(self) -> tuple[ArmState, ...]:
        """The state of each proposer."""
        return self._ideas.arm_states

    @property
    def planner(self) -> PlannerState | None:
        """The state of the planner; None without one."""
        return self._ideas.planner

    # The loop

    async def run(self) -> None:
        """Work until stopped. Raises what a run, the store or the journal raised."""
        try:
            while (rest := self._agenda.rest()) and not self._agenda.is_over:
                await self._idle(rest)
                self._wake.clear()
            if not self._agenda.is_over:
                await self._begin()
            while self._in_flight or not self._agenda.is_over:
                rest = self._agenda.rest()
                may_start = not (self._agenda.is_over or self.pausing.is_on or rest)
                run = self._next_run() if may_start else None
                if run is not None and self._lanes.is_free(run.job_id):
                    await self._start(run)
                elif self._in_flight:
                    await self._settle_one(run)
                elif not self._agenda.is_over:
                    await self._idle(rest)
                self._wake.clear()
            if not self.has_given_way:
                self._report_open_work()
        finally:
            self.pausing.close()
            await self._in_flight.end_all()
            await self._ideas.close()

    async def _begin(self) -> None:
        self._line_context.begin()
        self._agenda.begin()
        jobs = self._store.jobs.open_jobs(self._line_writer.key, *KINDS)
        if self._line_writer.line is None and not any(
            isinstance(job.step, BaselineStep) for job in jobs
        ):
            jobs.append(open_baseline(self._line_writer))
            self._line_context.on_record()
        for job in jobs:
            self._line_context.advance(job)
        self._rebase_outdated()
        if self._line_writer.line is not None:
            if not self._do_reference_runs_hold():
                self._line_writer.forget_reference_runs()
            await self._calibrate()

    def _do_reference_runs_hold(self) -> bool:
        """Return True if this session may use the working line's stored reference runs.

        Measurements differ a little from day to day. A session for submitted work accepts this
        difference instead of making two new reference runs.
        """
        return self._agenda.goal.is_on_demand or self._agenda.goal.measures_the_same

    async def _calibrate(self) -> None:
        """Measure the cost of the baseline, and again if a pause interrupts the measurement."""
        while not self._agenda.is_over:
            if self.pausing.is_on:
                await self._idle(None)
                self._wake.clear()
                continue
            self.activity.say("measuring the cost of the baseline in this session")
            self.activity.running("baseline", "calibrating", "timing on this machine")
            began_s = self._agenda.plan.clock_s()
            task = self._in_flight.begin(_CALIBRATION, self._lanes.calibrate())
            await asyncio.wait({task})
            self._in_flight.reap()
            if not task.cancelled():
                self._agenda.took(self._agenda.plan.clock_s() - began_s)
                return

    async def _idle(self, rest: Rest | None) -> None:
        """Wait for an outside event, at most until the session or a rest ends."""
        if rest and self.activity.stage != rest.why and not self.pausing.is_on:
            if self._agenda.plan.rests_until is not None:
                self._report_open_work()
            self.activity.say(rest.why)  # otherwise a terminal would show nothing for hours
        waits = "waiting for a proposal" if self._ideas.are_being_written else "nothing to do"
        if waiting := self._ideas.approvals.waiting:
            waits = f"waiting for your decision on {many(waiting, 'proposal')}: `arnode approve`"
        why = rest.why if rest else waits
        self.activity.idle(self.pausing.stage if self.pausing.is_on else why)
        left_s = min(
            self._agenda.plan.left_s,
            rest.left_s if rest else math.inf,
            self._agenda.judging.stack_rests_s or math.inf,
            self._ideas.rests_s,
            self._ideas.approvals.answer_due_s,
        )
        try:
            async with asyncio.timeout(min(left_s, _NAP_S) if math.isfinite(left_s) else None):
                await self._wake.wait()
        except TimeoutError:
            if self._agenda.plan.is_over:  # if stopped at the same moment, report the stop
                self._agenda.end()

    def _report_open_work(self) -> None:
        """Report the open work, which continues in the next session or the next working hours."""
        if not self._agenda.goal.is_on_demand and (
            message := open_work(self._store, self.line_key)
        ):
            self.activity.say(message)

    # Runs

    def _report_wait(self) -> None:
        self.activity.say(WAITS)
        self._wake.set()

    def _next_run(self) -> PlannedRun | None:
        """Ask the agenda for the next run; skip runs whose lane is busy while another lane is free.

        With several lanes, never return a run of untrusted code while another such run is in
        progress. With one lane such a run may be returned, and `_start` waits for the other one to
        end. If the current run waits for an idle machine, the rule for several lanes applies.
        """
        has_lanes = self._lanes.count > 1
        is_other_possible = has_lanes or bool(self._lanes.waits_s)
        ask = partial(
            self._agenda.next_run,
            self._in_flight.keys,
            has_lanes=has_lanes,
            skips_untrusted=is_other_possible and self._is_untrusted_in_flight,
        )
        first = run = ask()
        waiting: set[int] = set()
        while run is not None and self._lanes.has_free and not self._lanes.is_free(run.job_id):
            waiting.add(run.job_id)
            run = ask(passing_over=waiting)
        return run or first

    async def _start(self, run: PlannedRun) -> None:
        """Start a run, and return once a lane is free for another run.

        A lane is free when its run has been trained, even if the run is not scored yet.
        """
        key, job = (run.job_id, run.ordinal), self._store.jobs.get(run.job_id, *KINDS)
        assert job is not None  # noqa: S101 -- the agenda has just found the run in it
        own = self._line_writer.record_writer.author
        is_untrusted = job.step.is_untrusted(run, own)
        # Two colluding scripts could exchange the data that one of them is scored on.
        while is_untrusted and self._is_untrusted_in_flight:
            await self._finish_one()
        if self.pausing.is_on:  # paused while this waited
            return
        if is_untrusted:
            self._untrusted_in_flight = {key}
        lane = self._lanes.of(run.job_id)
        lane.begin()
        task = self._in_flight.begin(key, self._measure(job, run, lane))
        self._agenda.count(is_peers=job.step.is_of_peers(own))
        if not self._agenda.goal.is_on_demand:
            self._ideas.prepare()
        waiting = asyncio.create_task(self._lanes.one_free())
        await asyncio.wait({waiting, task}, return_when="FIRST_COMPLETED")
        waiting.cancel()
        self._in_flight.reap()
        while len(self._in_flight) > self._lanes.most_alongside:
            await self._in_flight.one_ended(self._wake)
            self._in_flight.reap()
            self._wake.clear()

    @property
    def _is_untrusted_in_flight(self) -> bool:
        return not self._untrusted_in_flight.isdisjoint(self._in_flight.keys)

    async def _finish_one(self) -> None:
        await self._in_flight.one_ended()
        self._in_flight.reap()

    async def _settle_one(self, following: PlannedRun | None) -> None:
        """Wait until a run ends, an outside event comes, or the lane of the next run is free."""
        events = [self._wake]
        if following is not None:
            events.append(self._lanes.of(following.job_id).free)
        await self._in_flight.one_ended(*events)
        self._in_flight.reap()

    async def _measure(self, job: Job[JobStep], run: PlannedRun, lane: Lane) -> None:
        try:
            with contextlib.suppress(PutOff):
                await self._measure_on(job, run, lane)
        finally:
            self.activity.ended(run)
            lane.end()

    async def _measure_on(self, job: Job[JobStep], run: PlannedRun, lane: Lane) -> None:
        step, line_context = job.step, self._line_context
        self.activity.running(*step.describe(self._store, run), run=run)
        source = self._line_writer.source(run.tree)
        await self._lanes.get_ready(lane, source)
        steady = Steady()
        if not self._agenda.plan.may_begin_runs:  # the session ended while this waited
            raise PutOff
        clock_s = self._agenda.plan.clock_s
        began_s = trained_s = clock_s()

        def on_trained() -> None:
            nonlocal trained_s
            trained_s = clock_s()
            lane.trained()

        async def needs_audit(public: int, _secret: int) -> bool:
            return step.needs_audit(line_context, run, public)

        is_untrusted = step.is_untrusted(run, self._line_writer.record_writer.author)
        early_stopper = early_stopper_for(job, run, line_context)
        short = await falls_short(step, run, self._line_writer, lane.runner)
        outcome = short or await lane.runner.run(
            source,
            run.seed,
            is_fresh=is_untrusted and not self._session.forks_untrusted,
            split=self._session.split(job.split) if job.split else None,
            needs_audit=needs_audit,
            incumbent=self._incumbent.get(self._line_writer.line.working)
            if self._line_writer.line
            else None,
            on_trained=on_trained,
            session_ends_s=self._agenda.plan.ends_s,
            on_training=partial(self.activity.trains, run),
            is_hopeless=early_stopper or _never,
        )
        if slept_s := steady.slept_s:  # discard the whole run
            self.activity.say(slept_words(slept_s))
            raise PutOff
        if outcome.status == "ok":
            # In a pair the second run trains while the first is scored, so count the mean of
            # a run's training time and its whole time.
            self._agenda.took((trained_s + clock_s()) / 2 - began_s)
        if outcome.answers is not None:
            self._remember_answers(run.tree, outcome.answers)
        record = outcome.to_run(run.role, quoting=not is_untrusted)
        record = with_answer(record, step, outcome.evidence, self._line_writer)
        stored = StoredOutcome(
            run=record,
            log_tail=outcome.log_tail,
            stages=outcome.stages,
            curve=outcome.curve,
            steps=outcome.steps,
            stopped_at_milli=early_stopper.stopped_at_milli if early_stopper else None,
            machine=lane.runner.machine or None,
        )
        self._store.jobs.finish_run(run, stored)
        self.activity.finished(outcome.ms)
        if outcome.fault is not None:
            raise outcome.fault
        self._line_context.advance(job)
        if job.id not in self._store.jobs.open_ids(self.line_key):
            self._lanes.forget(job.id)
        self._rebase_outdated()

    def _rebase_outdated(self) -> None:
        """Close experiments on an earlier working line, to try them on the present one.

        A single lane has only begun to train the next one while the last run was scored, so little
        is lost by ending it. On other lanes it may be nearly done; most are discarded on any line.
        """
        is_just_begun = self._lanes.count == 1 and not self._lanes.has_free
        for job in self._store.jobs.open_jobs(self.line_key, ExperimentStep):
            in_progress = [key for key in self._in_flight.keys if key[0] == job.id]
            if in_progress and not is_just_begun:
                continue
            if rebase_outdated(self._line_context, job):
                for key in in_progress:
                    self._in_flight.cancel(key)
                self._lanes.forget(job.id)

    def _remember_answers(self, tree: bytes, answers: Answers) -> None:
        line = self._line_writer.line
        if line and tree in (line.working, line.verified):
            kept = {line.working, line.verified}
            self._incumbent = {t: c for t, c in self._incumbent.items() if t in kept}
            self._incumbent[tree] = answers
