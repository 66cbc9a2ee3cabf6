"""A whole night of the example task, written into a store at fixed times: what reports are of.

Two stacks are judged, one of them mixed; a peer's tree is adopted, a peer's lie refuted; there are
failures of each kind, and every author of a title or a reason tried to inject markup.
`python -m tests.node.night` writes its report into `golden/`, for review.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path

import msgspec

from agent.completion import ModelCost
from agent.proposal import Proposal
from node.exchange.importers import read_history
from node.home.home import Home
from node.line.catch_up import CatchUpStep
from node.line.experiment import (
    PEER,
    RecordedExperiment,
    close_experiment,
    open_experiment,
)
from node.line.head_recheck import HeadRecheckStep
from node.line.idea import Idea
from node.line.line_writer import LineWriter
from node.line.rerun import (
    WantedClaim,
    close_rerun,
    open_rerun,
)
from node.line.trial import MetricReading
from node.loop.insights import publish_insight
from node.reporting.concluded import Spend, TimeSpan
from node.reporting.night import as_markdown, night_document
from node.reporting.peers_part import AskedPart, Interval
from node.reporting.report import Report, report_of
from node.store.blobs import Blobs
from node.store.imported import Imported
from node.store.jobs import StoredOutcome
from node.store.model_calls import ModelCostTotals
from node.store.store import Store
from protocol.record_kinds import Origin
from protocol.records import Record
from protocol.rerun import RerunBody
from protocol.rule import DEFAULT
from protocol.runs import Env, Status
from protocol.source import Source
from protocol.statistics import NoiseEstimate
from tests.node.examples import BASELINE, HARDWARE_CLASS, TASK, run
from tests.node.line_writers import (
    BASE_NANO,
    GAIN_NANO,
    confirmation_of,
    end,
    line_writer_of,
    outcomes,
    promotion_trial,
    proposal_of,
    with_baseline,
)
from tests.node.peer_authors import SD_NANO, PeerAuthor
from tests.protocol.worlds import rerun

GOLDEN = Path(__file__).parent / "golden"
EVENING_MS = 1_790_000_000_000  # 2026-09-21, 14:13 UTC
_STEP_MS = 120_000
_HEAD_NANO = BASE_NANO - 2 * GAIN_NANO  # after the first promotion trial
HOSTILE = '"><script>alert(1)</script> [x](http://evil.example/) `tick` | <img src=x> \u200d&amp;'
LLM = Origin(proposer="llm", model="small|model<b>", program=bytes([0xAB]) * 32)


class Clock:
    """Two minutes pass whenever somebody looks."""

    def __init__(self, now_ms: int = EVENING_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        self.now_ms += _STEP_MS
        return self.now_ms


@dataclass(kw_only=True)
class Night:
    """The books of a night, and the steps it is made of."""

    home: Home
    store: Store
    clock: Clock
    line_writer: LineWriter
    rates: Iterator[str]

    @property
    def span(self) -> TimeSpan:
        """From before it began until after it ended."""
        return TimeSpan(since_ms=EVENING_MS, until_ms=self.clock.now_ms)

    def idea(self, origin: Origin = Origin(proposer="search"), **changes: object) -> Proposal:  # noqa: B008
        """Return an idea nobody had, by somebody, on the working line."""
        base = self.line_writer.source(self.line_writer.known_line.working)
        proposal = proposal_of(base, next(self.rates))
        changed = replace(
            proposal, proposer=origin.proposer, model=origin.model, program=origin.program
        )
        return replace(changed, **changes)  # type: ignore[arg-type]

    def conclude(
        self,
        proposal: Proposal,
        decision: str,
        *metrics_nano: int | None,
        gain_milli: int | None = None,
        parents: tuple[bytes, ...] = (),
        author: bytes | None = None,
        claim_milli: int | None = None,
    ) -> RecordedExperiment:
        """Open an experiment, run it and record what was decided."""
        idea = replace(
            Idea.of(self.line_writer, replace(proposal, parents=parents)),
            author=author,
            claim_milli=claim_milli,
        )
        job = open_experiment(self.line_writer, idea)
        step = job.step
        for _ in metrics_nano[1:]:
            self.line_writer.plan(job, role="candidate", tree=job.step.tree)
        status: Status = "rejected" if decision == "rejected" else "crash"
        planned = self.store.jobs.runs_of(job.id)
        for one, metric_nano in zip(planned, metrics_nano, strict=True):
            fine = metric_nano is not None
            ended = run(metric_nano) if fine else run(None, status=status, reason=HOSTILE)
            ended = replace(ended, role=one.role, seed=one.seed)
            self.store.jobs.finish_run(one, StoredOutcome(run=ended, log_tail=""))
        runs = outcomes(self.store, job)
        closed = replace(step, decision=decision, gain_milli=gain_milli)
        return close_experiment(self.line_writer, job, closed, runs, note=decision)

    def keep(self, proposal: Proposal, *, gain_nano: int = GAIN_NANO) -> RecordedExperiment:
        """Record an idea that is kept."""
        runs = (BASE_NANO - gain_nano, BASE_NANO - gain_nano + 1)
        return self.conclude(proposal, "kept", *runs, gain_milli=2500)

    def promotion_trial(self, gain_nano: int | None) -> Record:
        """Judge the working line, and publish an insight."""
        record = promotion_trial(self.line_writer, gain_nano=gain_nano)
        publish_insight(self.line_writer)
        return record

    def catch_up(self, ada: PeerAuthor, tree: Source, *, gain_nano: int) -> Record:
        """Try a peer's tree against the head, as whole as it is."""
        claim = ada.claims(tree, 40.0, title=f"Ada's tree {HOSTILE}"[:100])
        self.line_writer.blobs.put_source(tree)
        line = self.line_writer.known_line
        body = self.store.records.get(claim).body
        patch = getattr(body, "patch", None)
        assert patch is not None
        step = CatchUpStep(
            base=line.verified,
            tree=tree.tree,
            theirs=tree.tree,
            patch=patch,
            target=claim,
            author=ada.key.public,
            gain_nano=40 * SD_NANO,
        )
        job = self.line_writer.open_job(step)
        for _ in range(4):
            self.line_writer.plan_fresh_pair(job, step.base, step.tree)
        for planned in self.store.jobs.runs_of(job.id):
            gained = gain_nano if planned.role == "candidate" else 0
            end(self.store, planned, _HEAD_NANO - gained + planned.ordinal)
        confirmation = confirmation_of(self.line_writer, job)
        runs = outcomes(self.store, job)
        return step.close(self.line_writer, job, runs, confirmation, note="a catch-up")

    def refute(self, ada: PeerAuthor, tree: Source) -> None:
        """Run a claim again that nothing is behind."""
        claim = ada.claims(tree, 30.0, title="a lie")
        wanted = WantedClaim(
            base=BASELINE,
            candidate=tree,
            target=claim,
            author=ada.key.public,
            gain_nano=30 * SD_NANO,
            lower_nano=None,
            alpha=0.05,
            max_pairs=16,
            is_quick=False,
            is_published=True,
        )
        job = open_rerun(self.line_writer, wanted)
        step = job.step
        reading = MetricReading(sign=1, noise=NoiseEstimate.from_class(0.001), policy=DEFAULT)
        manifest = self.line_writer.record_writer.manifest
        while (
            weighed := step.weigh(self.store.jobs.runs_of(job.id), reading, manifest)
        ).move == "pair":
            step.plan_pair(self.line_writer, job)
            for planned in self.store.jobs.runs_of(job.id):
                if planned.outcome is None:
                    end(self.store, planned, BASE_NANO)
        with self.store.transaction():
            close_rerun(self.line_writer, job, outcomes(self.store, job), weighed)


def evening(home: Home, store: Store) -> Night:
    """Return a night whose baseline is measured."""
    clock = Clock()
    line_writer = with_baseline(home, store, clock_ms=clock)
    return Night(home=home, store=store, clock=clock, line_writer=line_writer, rates=_rates(200))


def whole_night(home: Home, store: Store) -> Night:
    """Return a night in which everything happened."""
    night = evening(home, store)
    ada, omar = (
        PeerAuthor(store, Blobs(home.blobs), number=number, clock_ms=night.clock)
        for number in (50, 51)
    )
    night.conclude(night.idea(), "screened_out", BASE_NANO, gain_milli=-40)
    night.conclude(night.idea(), "rechecked_out", BASE_NANO, BASE_NANO, gain_milli=180)
    night.conclude(night.idea(title=HOSTILE[:120]), "failed", None)
    night.conclude(night.idea(LLM), "rejected", None)
    night.keep(night.idea())
    paid = ModelCost(calls=1, tokens_in=3000, tokens_out=500, usd_nano=12_000_000)
    night.keep(night.idea(LLM, title=HOSTILE[:120], cost=paid), gain_nano=2 * GAIN_NANO)
    first = night.promotion_trial(2 * GAIN_NANO)
    said = rerun(omar.key, _tree_of(first), [2 * GAIN_NANO] * 4, "confirmed", base=BASELINE.tree)
    omar.publish(_of_the_task(said))
    night.keep(night.idea())
    night.promotion_trial(-GAIN_NANO)
    theirs = proposal_of(BASELINE, "0.9").source
    night.catch_up(ada, theirs, gain_nano=GAIN_NANO)
    night.refute(ada, proposal_of(BASELINE, "0.8").source)
    patch = ada.patch(BASELINE, proposal_of(BASELINE, "0.7").source, title="Ada's idea")
    night.conclude(
        night.idea(Origin(proposer=PEER), key=PEER, title="Ada's idea"),
        "screened_out",
        BASE_NANO,
        gain_milli=100,
        parents=(patch,),
        author=ada.key.public,
        claim_milli=5000,
    )
    night.keep(night.idea())
    return night


def copied(night: Night, home: Home, store: Store) -> Night:
    """Return a night that continues in a copy of its home."""
    clock = Clock(night.clock.now_ms)
    line_writer = line_writer_of(home, store, clock_ms=clock)
    return Night(home=home, store=store, clock=clock, line_writer=line_writer, rates=_rates(300))


def _rates(first: int) -> Iterator[str]:
    return (f"0.{number}" for number in range(first, 400))


def _tree_of(record: Record) -> bytes:
    tree = getattr(record.body, "tree", None)
    assert isinstance(tree, bytes)
    return tree


def _of_the_task(said: RerunBody) -> RerunBody:
    return replace(said, task=TASK, hardware_class=HARDWARE_CLASS, env=Env())


def rare(report: Report) -> Report:
    """Return what no single night has: the rest of what a report can say, made of a night's."""
    (line,) = report.lines
    passed, missed, theirs = line.confirmations
    kept = line.ideas[4]
    screened = line.ideas[0]
    shown = Interval(gain_nano=1_000_000, lower_nano=-500_000, upper_nano=2_500_000)
    strange = replace(
        line,
        is_new=False,
        before=line.after,
        gain_nano=0,
        open_keeps=0,
        metric=replace(line.metric, unit="points", direction="max"),
        env=Env(items=(("cuda", "12.8"), ("torch", "2.13.0`+cu"))),
        confirmations=(
            replace(passed, stands=False),
            replace(passed, stands=False, measured=None, verdict="smaller", parts=()),
            replace(
                missed, kind=HeadRecheckStep, verdict="unrunnable", measured=None, note=HOSTILE
            ),
            replace(theirs, verdict="refuted", measured=None),
        ),
        ideas=(
            replace(kept, fate=None, gain_sd=None),
            replace(screened, decision="rebased", gain_sd=1.5, authors=(b"a" * 32, b"b" * 32)),
            replace(screened, decision="discarded", gain_sd=None),
            *(replace(screened, gain_sd=-number / 10) for number in range(25)),
        ),
        peers=replace(
            line.peers,
            tried=(
                replace(line.peers.tried[2], others=None, here="failed", gain_sd=None),
                replace(line.peers.tried[2], here="kept", title="  "),
            ),
            own=(),
            asked=(
                AskedPart(ts_ms=EVENING_MS, title=HOSTILE, verdict="confirmed", measured=shown),
                AskedPart(ts_ms=EVENING_MS, title="", verdict="unrunnable", measured=None),
            ),
        ),
        spend=Spend(),
        lessons=(),
    )
    begun = replace(line, task="other", before=None, after=None, ideas=(), confirmations=(),
                    peers=replace(line.peers, tried=(), asked=()), points=(), device_ms=(),
                    origins=(), env=Env(), lessons=("one",))  # fmt: skip
    log = read_history(
        "autoresearch",
        b"commit\tval_bpb\tmemory_gb\tstatus\tdescription\na\t0.9\t1\tkeep\tx\nnote\n",
        "log",
    )
    file = Imported(id=b"i" * 32, name=HOSTILE, log=log, at_ms=EVENING_MS)
    return replace(
        report,
        lines=(strange, begun),
        asked=ModelCostTotals(calls=1, tokens=12_345, usd_nano=50_000_000),
        imported=(file,),
    )


def report_texts(night: Night) -> dict[str, str]:
    """Return a night's report by the name of its golden file, without the ids: they are hashes."""
    report = report_of(night.store, night.span, net="main")
    texts = {"night.md": as_markdown(report, UTC), "night.json": _as_json(report)}
    return {name: _without_ids(text) for name, text in texts.items()}


def rare_report_texts(night: Night) -> dict[str, str]:
    """Return what no night has, and the report of a home with nothing in it, in the same way."""
    report = report_of(night.store, night.span, net="main")
    rest = rare(report)
    texts = {
        "rare.md": as_markdown(rest, UTC),
        "rare.json": _as_json(rest),
        "empty.md": as_markdown(replace(report, lines=()), UTC),
    }
    return {name: _without_ids(text) for name, text in texts.items()}


def _as_json(report: Report) -> str:
    """Return the page's document, one item per line."""
    document = msgspec.to_builtins(night_document(report, UTC))
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _without_ids(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b", "(12 digits)", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        with Store.open(home) as store:
            night = whole_night(home, store)
            for name, text in {**report_texts(night), **rare_report_texts(night)}.items():
                (GOLDEN / name).write_text(text, encoding="utf-8")
