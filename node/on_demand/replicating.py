"""Published findings tried on this device, each in fresh pairs against the task's baseline.

The rule is that of `compare`, for each finding by itself; nothing is recorded. A pair's seed and
its base run are shared by several findings: each is still held against a base whose runs say
nothing of it, so its own error rate stands, but the verdicts depend on one another. Finished runs
are kept (`node.on_demand.kept_runs`), and a verdict follows from them alone.
"""

import asyncio
import contextlib
import hashlib
import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from agent.source.edits import reapply
from node.home.home import Home
from node.home.keyfile import load_secret
from node.line.session import Session
from node.line.surroundings import decisive
from node.line.trial import Confirmation, Reading, next_of_confirmation
from node.on_demand.kept_runs import KeptRun, KeptRuns
from node.on_demand.measuring import Workbench, calibrated_session, measure
from node.store.jobs import PlannedRun, StoredOutcome
from node.terminal.interrupts import heeding_interrupts
from node.vetting.adoption import describe
from node.vetting.inspection import inspect
from protocol.attestation import AttestVerdict
from protocol.encoding import Value, encode
from protocol.errors import ConfigurationError
from protocol.hygiene import check_for_task
from protocol.ideas import PublishedFinding
from protocol.kinds import Env, Role
from protocol.manifest import TaskManifest
from protocol.rule import MIN_PAIRS, Claim, Policy
from protocol.source import Source
from protocol.statistics import NoiseEstimate
from protocol.units import NANO
from trainer.host.device import Device
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.findings import is_builtin
from trainer.task_folder.task import Task

# With a budget of seconds a metric depends on how fast the device is just then: a base run is
# shared by so few that all run beside it.
NEIGHBOURS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A finding as a source. Those of one block share base runs; `refusal` says why it never runs.

    An empty refusal: it may.
    """

    finding: PublishedFinding
    source: Source
    block: int
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """How far a candidate has come; `own` and `bases` are the runs that its pairs consist of."""

    candidate: Candidate
    confirmation: Confirmation
    own: tuple[KeptRun, ...]
    bases: tuple[KeptRun, ...]

    @property
    def is_open(self) -> bool:
        """Whether another pair is needed to know."""
        return not self.candidate.refusal and self.confirmation.move in ("pair", "base")

    @property
    def verdict(self) -> AttestVerdict | Literal["open"]:
        """The rule's word."""
        return "open" if self.is_open else self.confirmation.verdict

    @property
    def seconds(self) -> float:
        """What its own runs took."""
        return sum(kept.run.ms + kept.run.serve_ms for kept in self.own) / 1000

    @property
    def reason(self) -> str:
        """Why it could not be run, which may quote the candidate."""
        return self.candidate.refusal or self.confirmation.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Replications:
    """What is known of a task's candidates: their finished runs, and the policy to judge by."""

    manifest: TaskManifest
    kept: KeptRuns
    policy: Policy

    def find(self, tree: bytes, block: int, number: int) -> KeptRun | None:
        """Return a tree's run of one of the block's pairs, if it has ended."""
        return self.kept.find(tree, self.kept.seed(block, number))

    def look(self, candidate: Candidate) -> Replication:
        """Judge a candidate by its whole pairs, in their order, up to the first that is not."""
        runs: list[KeptRun] = []
        own: list[KeptRun] = []
        bases: list[KeptRun] = []
        for number in itertools.count():
            seed = self.kept.seed(candidate.block, number)
            base = self.kept.tries(self.manifest.baseline_tree, seed)
            mine = self.kept.find(candidate.source.tree, seed)
            if not base or mine is None:
                break
            runs += [*base, mine]
            bases.append(base[-1])
            own.append(mine)
        confirmation = next_of_confirmation(
            [_planned(at, kept) for at, kept in enumerate(runs)],
            self._reading(runs),
            needs_anchor=False,
            anchor_pairs=MIN_PAIRS,
            claim=_claim(candidate.finding),
        )
        return Replication(
            candidate=candidate, confirmation=confirmation, own=tuple(own), bases=tuple(bases)
        )

    def _reading(self, runs: Sequence[KeptRun]) -> Reading:
        return Reading(
            sign=self.manifest.metric.sign,
            noise=NoiseEstimate.from_class(self.manifest.noise_floor_nano / NANO),
            policy=self.policy,
            minimum_gain=2 * max((kept.tolerance_nano for kept in runs), default=0) / NANO,
            memorised=max((kept.memorised_nano for kept in runs), default=0) / NANO,
        )


def candidates_of(
    path: Path, task: Task, findings: Sequence[PublishedFinding], *, only: Collection[str]
) -> tuple[Candidate, ...]:
    """Return a catalogue's findings as sources of the task: those named in `only`, else all.

    Whose code does more than arithmetic is not run, unless it came with arnode. Raises
    ConfigurationError if edits do not go together or change nothing.
    """
    shares_all = task.manifest.budget.unit == "tokens"
    is_own = is_builtin(path)
    candidates = []
    for number, finding in enumerate(findings):
        if only and finding.name not in only:
            continue
        source = reapply(finding.edits, task.source)
        if source is None or source.tree == task.source.tree:
            fault = "its edits overlap" if source is None else "it changes nothing of the baseline"
            raise ConfigurationError(f"{path}: finding {finding.name}: {fault}", "mend its edits")
        candidates.append(
            Candidate(
                finding=finding,
                source=source,
                block=0 if shares_all else number // NEIGHBOURS,
                refusal=_refusal(task, source, is_own=is_own),
            )
        )
    return tuple(candidates)


def setting_of(
    home: Home, device: Device, task: Task, findings: Sequence[PublishedFinding]
) -> bytes:
    """Return the digest of what a metric here depends on beside task, class, tree and seed.

    `findings` are all of the catalogue's. Their secret split follows from it as well, and so is
    drawn when they are fixed: for another catalogue it is another one.
    """
    secret = hashlib.sha256(b"arnode replicate" + load_secret(home)).digest()
    env = decisive(Env.of(device.environment)).to_value()
    sources = [reapply(finding.edits, task.source) for finding in findings]
    trees: list[Value] = [*sorted({source.tree for source in sources if source})]
    return hashlib.sha256(encode({"env": env, "secret": secret, "trees": trees})).digest()


async def measure_open(
    bench: Workbench,
    candidates: Sequence[Candidate],
    replications: Replications,
    *,
    show: Callable[[Source, KeptRun], None],
) -> None:
    """Run what is missing until every candidate is judged or somebody interrupts it.

    The first interrupt lets the run at hand finish, the next one ends at once.
    """
    async with calibrated_session(bench) as session:
        stopping = asyncio.Event()
        working = asyncio.create_task(
            _measure_blocks(
                session,
                candidates,
                replications,
                told_runs=bench.told_runs(),
                stopping=stopping,
                show=show,
            )
        )
        with heeding_interrupts(first=stopping.set, later=working.cancel):
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await working
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)


async def _measure_blocks(
    session: Session,
    candidates: Sequence[Candidate],
    replications: Replications,
    *,
    told_runs: int,
    stopping: asyncio.Event,
    show: Callable[[Source, KeptRun], None],
) -> None:
    base, nonce = session.task.source, replications.kept.split_nonce

    def keep(source: Source, outcome: RunOutcome) -> None:
        is_base = source.tree == base.tree
        memorised = 0.0 if is_base else session.memorised(base, source, told_runs=told_runs)
        kept = KeptRun(
            setting=replications.kept.setting,
            tree=source.tree,
            run=outcome.to_run("base" if is_base else "candidate"),
            tolerance_nano=round(session.metric_tolerance * NANO),
            memorised_nano=round(memorised * NANO),
        )
        replications.kept.keep(kept)
        show(source, kept)

    for block, group in itertools.groupby(candidates, key=lambda one: one.block):
        members = list(group)
        for number in itertools.count():
            pending = [one for one in members if replications.look(one).is_open]
            if stopping.is_set() or not pending:
                break
            missing = _missing(base, pending, replications, block, number)
            await measure(session, _until(stopping, missing), on_run=keep, nonce=nonce)
            again = [(base, seed) for seed in _half(pending, replications)]
            await measure(session, _until(stopping, again), on_run=keep, nonce=nonce)


def _half(pending: Sequence[Candidate], replications: Replications) -> set[int]:
    """Return the seeds of pairs whose base is to be run once more."""
    seeds = {replications.look(one).confirmation.unfinished for one in pending}
    return {seed for seed in seeds if seed is not None}


def _missing(
    base: Source, pending: Sequence[Candidate], replications: Replications, block: int, number: int
) -> list[tuple[Source, int]]:
    """Return the runs of a block's pair that have not ended, in an order that the seed decides."""
    sources = {one.source.tree: one.source for one in pending}
    wanted = [one for tree, one in sources.items() if not replications.find(tree, block, number)]
    if not replications.find(base.tree, block, number):
        wanted.append(base)
    seed = replications.kept.seed(block, number)
    random.Random(seed).shuffle(wanted)
    return [(source, seed) for source in wanted]


def _until(
    stopping: asyncio.Event, runs: Sequence[tuple[Source, int]]
) -> Iterator[tuple[Source, int]]:
    for run in runs:
        if stopping.is_set():
            return
        yield run


def _refusal(task: Task, source: Source, *, is_own: bool) -> str:
    fault = check_for_task(source, task.manifest, baseline=task.source)
    if fault is not None:
        return f"not run: {fault.reason}"
    if is_own:
        return ""
    marks = inspect(source, baseline=task.source).marks
    return f"not run, it does more than arithmetic: {describe(marks[0])}" if marks else ""


def _claim(finding: PublishedFinding) -> Claim | None:
    return None if finding.claimed_gain is None else Claim(gain=finding.claimed_gain)


def _planned(at: int, kept: KeptRun) -> PlannedRun:
    return PlannedRun(
        job_id=0,
        ordinal=at,
        role=cast("Role", kept.run.role),  # a `PlannedRun` of this program's own
        tree=kept.tree,
        seed=kept.run.seed,
        outcome=StoredOutcome(run=kept.run, log_tail=""),
    )
