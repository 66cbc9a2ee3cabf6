"""Replication of published findings on this device, each in fresh pairs with the task's baseline.

Each finding is judged separately, by the rule of `compare`; nothing is recorded. Several findings
share a seed and its run of the baseline. That run does not depend on any finding, so each error
rate is valid, but the verdicts are correlated. Finished runs are stored
(`node.on_demand.kept_runs`), and verdicts are computed from them alone.
"""

import asyncio
import hashlib
import itertools
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.source.edits import reapply
from node.home.home import Home
from node.home.keyfile import load_secret
from node.line.environment_change import decisive
from node.line.open_task import Session
from node.line.trial import Confirmation
from node.on_demand.kept_runs import KeptRun, KeptRuns
from node.on_demand.measuring import measure, weigh
from node.on_demand.session import CommandSession, calibrated_session
from node.source_review.adoption import concern, describe
from node.source_review.inspection import inspect
from node.terminal.interrupts import STOPPING, until_interrupted
from node.terminal.terminal import say
from protocol.encoding import Value, encode
from protocol.errors import ConfigurationError
from protocol.hygiene import check_for_task
from protocol.ideas import PublishedFinding
from protocol.manifest import TaskManifest
from protocol.rerun import RerunVerdict
from protocol.rule import Claim, Policy
from protocol.runs import Env
from protocol.source import Source
from protocol.units import NANO
from trainer.host.device import Device
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.findings import is_builtin
from trainer.task_folder.task import Task

# With a budget of seconds a metric depends on the device's current speed. So only a few findings
# share a run of the baseline, and their own runs are close to it in time.
NEIGHBOURS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCandidate:
    """A finding as a source. Candidates of one block share runs of the baseline.

    `refusal` is the reason it never runs; empty if it may run.
    """

    finding: PublishedFinding
    source: Source
    block: int
    refusal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """The state of a candidate; `own` are its runs and `bases` the baseline's in its pairs."""

    candidate: FindingCandidate
    confirmation: Confirmation
    own: tuple[KeptRun, ...]
    bases: tuple[KeptRun, ...]

    @property
    def is_open(self) -> bool:
        """True if another pair is needed for a verdict."""
        return not self.candidate.refusal and self.confirmation.move in ("pair", "again")

    @property
    def verdict(self) -> RerunVerdict | Literal["open"]:
        """The rule's verdict, or `open`."""
        return "open" if self.is_open else self.confirmation.verdict

    @property
    def seconds(self) -> float:
        """The time of the candidate's runs, without the baseline's."""
        return sum(kept.run.ms + kept.run.serve_ms for kept in self.own) / 1000

    @property
    def reason(self) -> str:
        """The reason the candidate could not be run; it may quote the candidate's text."""
        return self.candidate.refusal or self.confirmation.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Replications:
    """The state of a task's candidates: their finished runs, and the policy to judge by."""

    manifest: TaskManifest
    kept: KeptRuns
    policy: Policy

    def look(self, candidate: FindingCandidate) -> Replication:
        """Judge a candidate by its pairs in order, up to the first incomplete pair."""
        kept: list[KeptRun] = []
        own: list[KeptRun] = []
        bases: list[KeptRun] = []
        for number in itertools.count():
            seed = self.kept.seed(candidate.block, number)
            base = self._counted(self.manifest.baseline_tree, seed)
            mine = self._counted(candidate.source.tree, seed)
            if not (base and mine):
                break
            kept += [*base, *mine]
            bases.append(base[-1])
            own.append(mine[-1])
        gain = candidate.finding.claimed_gain
        confirmation = weigh(
            [(one.tree, one.run) for one in kept],
            self.manifest,
            self.policy,
            tolerance=max((one.tolerance_nano for one in kept), default=0) / NANO,
            memorised=max((one.memorised_nano for one in kept), default=0) / NANO,
            claim=None if gain is None else Claim(gain=gain),
        )
        return Replication(
            candidate=candidate, confirmation=confirmation, own=tuple(own), bases=tuple(bases)
        )

    def _counted(self, tree: bytes, seed: int) -> tuple[KeptRun, ...]:
        """Return the runs of a tree with a seed, up to the first successful run."""
        tries = self.kept.tries(tree, seed)
        failed = tuple(itertools.takewhile(lambda one: one.run.status != "ok", tries))
        return tries[: len(failed) + 1]

    def missing(self, base: Source, block: Sequence[FindingCandidate]) -> list[tuple[Source, int]]:
        """Return the missing runs of a block's first incomplete pair, each with the pair's seed.

        The seed determines their order. The list is empty once all candidates of the block are
        judged.
        """
        pending = [found for found in map(self.look, block) if found.is_open]
        if not pending:
            return []
        number = min(len(found.confirmation.pairs) for found in pending)
        seed = self.kept.seed(block[0].block, number)
        sources = {found.candidate.source.tree: found.candidate.source for found in pending}
        sources[base.tree] = base
        again = {
            base.tree if failed.role == "base" else found.candidate.source.tree
            for found in pending
            if (failed := found.confirmation.unfinished) and failed.seed == seed
        }
        wanted = [
            one for tree, one in sources.items() if tree in again or not self.kept.tries(tree, seed)
        ]
        random.Random(seed).shuffle(wanted)
        return [(source, seed) for source in wanted]


def candidates_of(
    path: Path, task: Task, findings: Sequence[PublishedFinding], *, only: Collection[str]
) -> tuple[FindingCandidate, ...]:
    """Return a catalogue's findings as sources of the task: those named in `only`, or all.

    A finding whose code does more than arithmetic is not run, unless arnode ships it. Raises
    ConfigurationError if edits conflict or change nothing.
    """
    shares_all = task.manifest.budget.unit == "tokens"
    is_own = is_builtin(path)
    candidates = []
    for number, finding in enumerate(findings):
        if only and finding.name not in only:
            continue
        source = reapply(finding.edits, task.source)
        if source is None or source.tree == task.source.tree:
            fault = "its edits overlap" if source is None else "it does not change the baseline"
            raise ConfigurationError(f"{path}: finding {finding.name}: {fault}", "fix its edits")
        candidates.append(
            FindingCandidate(
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
    """Return the digest of what a metric depends on, apart from task, class, tree and seed.

    `findings` are all findings of the catalogue. The secret split is derived from the digest too:
    it is fixed together with the findings, and another catalogue has another split.
    """
    secret = hashlib.sha256(b"arnode replicate" + load_secret(home)).digest()
    env = decisive(Env.of(device.environment)).to_value()
    sources = [reapply(finding.edits, task.source) for finding in findings]
    trees: list[Value] = [*sorted({source.tree for source in sources if source})]
    return hashlib.sha256(encode({"env": env, "secret": secret, "trees": trees})).digest()


async def measure_open(
    command: CommandSession,
    candidates: Sequence[FindingCandidate],
    replications: Replications,
    *,
    show: Callable[[Source, KeptRun], None],
) -> None:
    """Make the missing runs until every candidate is judged or the user interrupts.

    After the first interrupt the current run finishes; the second interrupt stops it.
    """
    async with calibrated_session(command) as session:
        stopping = asyncio.Event()
        work = _measure_blocks(
            session,
            candidates,
            replications,
            prior_runs=command.prior_runs(),
            stopping=stopping,
            show=show,
        )

        def typed() -> bool:
            stopping.set()
            say(STOPPING, err=True)
            return True

        await until_interrupted(work, first=stopping.set, ask=typed)


async def _measure_blocks(
    session: Session,
    candidates: Sequence[FindingCandidate],
    replications: Replications,
    *,
    prior_runs: int,
    stopping: asyncio.Event,
    show: Callable[[Source, KeptRun], None],
) -> None:
    base, nonce = session.task.source, replications.kept.split_nonce

    def keep(source: Source, outcome: RunOutcome) -> None:
        is_base = source.tree == base.tree
        memorised = 0.0 if is_base else session.memorised(base, source, prior_runs=prior_runs)
        kept = KeptRun(
            setting=replications.kept.setting,
            tree=source.tree,
            run=outcome.to_run("base" if is_base else "candidate"),
            tolerance_nano=round(session.metric_tolerance * NANO),
            memorised_nano=round(memorised * NANO),
        )
        replications.kept.keep(kept)
        show(source, kept)

    for _, group in itertools.groupby(candidates, key=lambda one: one.block):
        block = list(group)
        while not stopping.is_set() and (missing := replications.missing(base, block)):
            runs = itertools.takewhile(lambda _: not stopping.is_set(), missing)
            await measure(session, runs, on_run=keep, nonce=nonce)


def _refusal(task: Task, source: Source, *, is_own: bool) -> str:
    fault = check_for_task(source, task.manifest, baseline=task.source)
    if fault is not None:
        return f"not run: {fault.reason}"
    if is_own:
        return ""
    marks = inspect(source, kind=task.manifest.kind, baseline=task.source).marks
    return f"not run, it {concern(marks)}: {describe(marks[0])}" if marks else ""
