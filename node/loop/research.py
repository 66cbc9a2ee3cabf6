"""The research loop of one line: it runs what the agenda says, until that is over.

Everything it must remember is in the store before it acts (`ledger`), so that a killed loop goes on
where it was; what follows from a run that ended is its job's own (`node.line.job_step`). While one
run trains, the one before is scored and the next proposal is written.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from node.line.attempts import Attempt
from node.line.attestation import WantedClaim, falls_short, open_attestation, with_answer
from node.line.baseline import BaselineStep, open_baseline
from node.line.carried import CarriedStep, Find, open_carried
from node.line.desk import Desk
from node.line.early_stop import overseer_of
from node.line.handed_in import submit
from node.line.job_kinds import KINDS
from node.line.job_step import JobStep, RunDescription
from node.line.open_work import open_work, upcoming
from node.loop.agenda import Agenda
from node.loop.devices import Lane, Lanes
from node.loop.ideas import Ideas
from node.loop.in_flight import InFlight, Lost
from node.loop.pausing import Pause
from node.loop.planning import PlannerStanding
from node.loop.session_plan import Rest
from node.loop.slots import ArmStanding
from node.store.jobs import Job, LineKey, PlannedRun, StoredOutcome
from node.terminal.durations import slept_words
from node.terminal.interrupts import STOPPING
from protocol.source import Source
from trainer.host.power_state import Steady
from trainer.measuring.loss_curve import LossCurve
from trainer.measuring.outcome import Answers
from trainer.measuring.training import WAITS, PutOff

_CALIBRATION: Final = (0, 0)  # in flight as a run of no job
_NAP_S: Final = 60.0  # timers stand still while the machine is suspended, a session's end does not


def _never(_curve: LossCurve) -> None:
    """Say that a run is not hopeless."""


class Research:
    """Works on one line until it is told to stop or its goal is reached."""

    def __init__(
        self,
        *,
        desk: Desk,
        ideas: Ideas,
        agenda: Agenda,
        news: asyncio.Event | None = None,
    ) -> None:
        """`news`: set by whoever has something new for the loop to look at."""
        self.activity = activity = desk.activity
        self._desk = desk
        self._ledger = desk.ledger
        self._store = desk.store
        self._session = session = desk.session
        self._ideas = ideas
        self._agenda = agenda
        self._wake = news or asyncio.Event()
        self._lanes = Lanes(
            session.runners, share_processor=session.is_shared, on_change=self._wake.set
        )
        activity.lanes, activity.waits_s = self._lanes.count, lambda: self._lanes.waits_s
        self._in_flight = InFlight()
        self._foreign_in_flight: set[tuple[int, int]] = set()
        self.pausing = Pause()
        self._is_stopped = False
        self.is_interrupted = False
        self.has_given_way = False
        self._incumbent: dict[bytes, Answers] = {}
        for runner in session.runners:
            runner.tell_waits(self._tell_wait)

    # Said from outside

    def pause(self, *, for_s: float | None = None) -> None:
        """Finish what runs and start nothing new, until `resume` or for so many seconds."""
        self.pausing.begin(for_s, self.resume)
        self.activity.say(f"{self.pausing.stage}: the run at hand ends, nothing new starts")
        self._wake.set()

    def pause_as(self, other: "Research") -> None:
        """Go on with a pause of the session before."""
        if other.is_paused:
            self.pause(for_s=other.pausing.left_s)

    async def pause_at_once(self, *, for_s: float | None = None) -> Lost:
        """Pause, and return once no device is used; what ran is made again after that."""
        self.pausing.begin(for_s, self.resume)
        lost = await self._in_flight.end_all()
        self.activity.say(f"{self.pausing.stage}: {lost}")
        self._wake.set()
        return lost

    def resume(self) -> None:
        """Go on after a pause."""
        self.pausing.end()
        self.activity.say("resumed")
        self._wake.set()

    def stop(self, *, at_checkpoint: bool = False) -> None:
        """Finish the run at hand and end; `at_checkpoint` judges the working line first."""
        self._is_stopped, self.has_given_way = True, False
        if at_checkpoint:
            if self._agenda.end_at_checkpoint():
                self.pausing.end()
        else:
            self._end()
            self.activity.say(STOPPING if self.is_interrupted else "stopping after the run at hand")
        self._wake.set()

    def interrupt(self, *, at_checkpoint: bool = False) -> None:
        """Stop as `stop` does, after a Ctrl-C; a second one ends the session at once."""
        self.is_interrupted = True
        self.stop(at_checkpoint=at_checkpoint)

    def hold(self, for_s: float, then: Callable[[], None]) -> None:
        """Start nothing new while somebody is asked how it ends; `then` if no answer comes."""
        self.pausing.begin(for_s, then)
        self._wake.set()

    @property
    def trial_s(self) -> tuple[float, float] | None:
        """How long judging the working line takes now, at least and at most; None: it is not."""
        return self._agenda.judging.trial_s

    def give_way(self, why: str) -> None:
        """Finish the run at hand and end for another session's sake, unless it ends anyway.

        Who says `stop` meanwhile ends that one too.
        """
        if not (self._is_stopped or self._agenda.is_over):
            self.has_given_way = True
            self._end()
            self.activity.say(why)
            self._wake.set()

    def make_way(self, why: str) -> None:
        """End for another session's sake between trials: what is open is decided first."""
        if not (self._is_stopped or self._agenda.is_over):
            self.has_given_way = True
            self._agenda.make_way()
            self.activity.say(why)
            self._wake.set()

    @property
    def is_stopped(self) -> bool:
        """Whether somebody said that it is to end."""
        return self._is_stopped

    def _end(self) -> None:
        """Begin nothing more. What waits for a quiet minute is made in another session."""
        self._agenda.end()
        for runner in self._session.runners:
            runner.hurry()

    def submit(self, source: Source, *, title: str, why: str) -> None:
        """Take in a source as the next experiment; it is in the store before anything runs."""
        mark = submit(self._ledger, source, title=title, why=why)
        self._ideas.mark_tried(mark)
        self._agenda.want(mark)
        self._wake.set()

    def attest(self, wanted: WantedClaim) -> int:
        """Queue a claim to be run again; return the job's number."""
        self._desk.notice_change()  # else it might join a job whose pairs are void
        job = open_attestation(self._ledger, wanted)
        self._agenda.want_job(job)
        if job.state == "open":
            self._desk.advance(job)
        self._wake.set()
        return job.id

    def carry(self, finds: Sequence[Find]) -> tuple[int, ...]:
        """Queue what was found on another rung, each alone; return the jobs' numbers, in its order.

        One that waits already is not queued again.
        """
        numbers = []
        waiting = {job.step: job for job in self._store.jobs.open_jobs(self.line_key, CarriedStep)}
        for find in finds:
            step = CarriedStep(finds=(find,))
            job = waiting.get(step) or open_carried(self._ledger, step)
            waiting[step] = job
            self._agenda.want_job(job, is_judged=True)
            numbers.append(job.id)
        self._wake.set()
        return tuple(numbers)

    def attempt_of(self, mark: bytes) -> Attempt | None:
        """Return what came of the source with this canonical AST, None while that is open."""
        return self._agenda.attempt_of(mark)

    def upcoming(self, most: int) -> list[RunDescription]:
        """Return what is run next, as far as it is planned."""
        return upcoming(self._store, self.line_key, self._in_flight.keys, most=most)

    @property
    def is_paused(self) -> bool:
        """Whether nothing new starts until somebody says `resume`, or the pause is over."""
        return self.pausing.is_on

    @property
    def line_key(self) -> LineKey:
        """The line this loop works on."""
        return self._ledger.key

    @property
    def noise_sd(self) -> float:
        """The standard deviation of one run as known so far, in the metric's unit."""
        return self._desk.noise.sd()

    @property
    def screening_sd(self) -> float:
        """The same of a run on the public split, by which experiments are decided."""
        return self._desk.reading().screening_sd

    @property
    def standings(self) -> tuple[ArmStanding, ...]:
        """How each that proposes stands."""
        return self._ideas.standings

    @property
    def planner(self) -> PlannerStanding | None:
        """How the planner stands, None where nobody plans."""
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
                self._tell_open()
        finally:
            self.pausing.close()
            await self._in_flight.end_all()
            await self._ideas.close()

    async def _begin(self) -> None:
        self._desk.begin()
        self._agenda.begin()
        jobs = self._store.jobs.open_jobs(self._ledger.key, *KINDS)
        if self._ledger.line is None and not any(
            isinstance(job.step, BaselineStep) for job in jobs
        ):
            jobs.append(open_baseline(self._ledger))
            self._desk.on_record()
        for job in jobs:
            self._desk.advance(job)
        if self._ledger.line is not None:
            if not self._is_bank_still_right():
                self._ledger.forget_bank()
            await self._calibrate()

    def _is_bank_still_right(self) -> bool:
        """Whether what the working line measured before holds here and now.

        Another day measures a little otherwise; but one answer is not worth two runs of its own.
        """
        return self._agenda.goal.is_on_demand or self._agenda.goal.measures_the_same

    async def _calibrate(self) -> None:
        """Measure what the baseline costs; a pause ends that, and it is done anew after it."""
        while not self._agenda.is_over:
            if self.pausing.is_on:
                await self._idle(None)
                self._wake.clear()
                continue
            self.activity.say("measuring what the baseline costs here in this session")
            self.activity.running("baseline", "calibrating", "timing on this machine")
            began_s = self._agenda.plan.clock_s()
            task = self._in_flight.begin(_CALIBRATION, self._lanes.calibrate())
            await asyncio.wait({task})
            self._in_flight.reap()
            if not task.cancelled():
                self._agenda.took(self._agenda.plan.clock_s() - began_s)
                return

    async def _idle(self, rest: Rest | None) -> None:
        """Wait for a word from outside, at most until an announced session or a rest is over."""
        if rest and self.activity.stage != rest.why and not self.pausing.is_on:
            if self._agenda.plan.rests_until is not None:
                self._tell_open()
            self.activity.say(rest.why)  # else a terminal would show nothing for hours
        waits = "waiting for a proposal" if self._ideas.are_being_written else "nothing to do"
        why = rest.why if rest else waits
        self.activity.idle(self.pausing.stage if self.pausing.is_on else why)
        left_s = min(
            self._agenda.plan.left_s,
            rest.left_s if rest else math.inf,
            self._agenda.judging.stack_rests_s or math.inf,
            self._ideas.rests_s,
        )
        try:
            async with asyncio.timeout(min(left_s, _NAP_S) if math.isfinite(left_s) else None):
                await self._wake.wait()
        except TimeoutError:
            if self._agenda.plan.is_over:  # a stop at the same moment stays one
                self._agenda.end()

    def _tell_open(self) -> None:
        """Say what goes on in the next session, or in the next night of this one."""
        if not self._agenda.goal.is_on_demand and (told := open_work(self._store, self.line_key)):
            self.activity.say(told)

    # Runs

    def _tell_wait(self) -> None:
        self.activity.say(WAITS)
        self._wake.set()

    def _next_run(self) -> PlannedRun | None:
        """Ask the agenda; with several lanes for no stranger's code beside a stranger's.

        With one there is nothing to do meanwhile but what `_start` does, which waits, unless that
        stranger's waits for a quiet minute. What waits for its lane is passed over while another
        one is free.
        """
        has_lanes = self._lanes.count > 1
        is_other_possible = has_lanes or bool(self._lanes.waits_s)
        ask = partial(
            self._agenda.next_run,
            self._in_flight.keys,
            has_lanes=has_lanes,
            is_foreign_barred=is_other_possible and self._is_foreign_in_flight,
        )
        first = run = ask()
        waiting: set[int] = set()
        while run is not None and self._lanes.has_free and not self._lanes.is_free(run.job_id):
            waiting.add(run.job_id)
            run = ask(passing_over=waiting)
        return run or first

    async def _start(self, run: PlannedRun) -> None:
        """Start a run and return when the next one may train."""
        key, job = (run.job_id, run.ordinal), self._store.jobs.get(run.job_id, *KINDS)
        assert job is not None  # noqa: S101 -- the agenda has just found the run in it
        own = self._ledger.publication.author
        is_foreign = job.step.is_foreign(run, own)
        # Two scripts in league could tell each other what one of them is scored on.
        while is_foreign and self._is_foreign_in_flight:
            await self._finish_one()
        if self.pausing.is_on:  # since it was asked for
            return
        if is_foreign:
            self._foreign_in_flight = {key}
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
        while len(self._in_flight) > self._lanes.most_beside:
            await self._in_flight.one_ended(self._wake)
            self._in_flight.reap()
            self._wake.clear()

    @property
    def _is_foreign_in_flight(self) -> bool:
        return not self._foreign_in_flight.isdisjoint(self._in_flight.keys)

    async def _finish_one(self) -> None:
        await self._in_flight.one_ended()
        self._in_flight.reap()

    async def _settle_one(self, following: PlannedRun | None) -> None:
        """Wait until a run ends, or a word comes, or the device of the run to follow is free."""
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
        step, desk = job.step, self._desk
        self.activity.running(*step.describe(self._store, run), run=run)
        source = self._ledger.source(run.tree)
        await self._lanes.get_ready(lane, source)
        steady = Steady()
        if not self._agenda.plan.may_begin_runs:  # the session ended while it waited for its turn
            raise PutOff
        clock_s = self._agenda.plan.clock_s
        began_s = trained_s = clock_s()

        def on_trained() -> None:
            nonlocal trained_s
            trained_s = clock_s()
            lane.trained()

        async def needs_audit(public: int, _secret: int) -> bool:
            return step.needs_audit(desk, run, public)

        is_foreign = step.is_foreign(run, self._ledger.publication.author)
        overseer = overseer_of(job, run, desk)
        short = await falls_short(step, run, self._ledger, lane.runner)
        outcome = short or await lane.runner.run(
            source,
            run.seed,
            is_fresh=is_foreign and not self._session.forks_strangers,
            split=self._session.split(job.split) if job.split else None,
            needs_audit=needs_audit,
            incumbent=self._incumbent.get(self._ledger.line.working) if self._ledger.line else None,
            on_trained=on_trained,
            session_ends_s=self._agenda.plan.ends_s,
            on_training=partial(self.activity.trains, run),
            is_hopeless=overseer or _never,
        )
        if slept_s := steady.slept_s:  # nothing of it is looked at
            self.activity.say(slept_words(slept_s))
            raise PutOff
        if outcome.status == "ok":
            # Of a pair the second trains while the first is scored: half of what both take.
            self._agenda.took((trained_s + clock_s()) / 2 - began_s)
        if outcome.answers is not None:
            self._remember_answers(run.tree, outcome.answers)
        record = outcome.to_run(run.role, quoting=not is_foreign)
        record = with_answer(record, step, outcome.evidence, self._ledger)
        stored = StoredOutcome(
            run=record,
            log_tail=outcome.log_tail,
            stages=outcome.stages,
            curve=outcome.curve,
            steps=outcome.steps,
            given_up=overseer.given_up if overseer else None,
            machine=lane.runner.machine or None,
        )
        self._store.jobs.finish_run(run, stored)
        self.activity.finished(outcome.ms)
        if outcome.fault is not None:
            raise outcome.fault
        self._desk.advance(job)
        if job.id not in self._store.jobs.open_ids(self.line_key):
            self._lanes.forget(job.id)

    def _remember_answers(self, tree: bytes, answers: Answers) -> None:
        line = self._ledger.line
        if line and tree in (line.working, line.verified):
            kept = {line.working, line.verified}
            self._incumbent = {t: c for t, c in self._incumbent.items() if t in kept}
            self._incumbent[tree] = answers
