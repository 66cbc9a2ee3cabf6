"""Peers' claims that were tried here in a span, and peers' verdicts on this node's claims.

Three kinds of evidence are kept apart: the author's claim, the re-runs by other keys, and this
node's measurement. A claim tried as an idea was only screened, which neither confirms nor refutes
it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from node.line.catch_up import CatchUpStep
from node.line.rerun import RerunStep
from node.line.trial import Measured
from node.reporting.concluded import ConcludedIdea, ConcludedTrial, TimeSpan
from node.store.boards import BoardKey
from node.store.jobs import Job, LineKey
from node.store.measured_here import Here, measured_here
from node.store.store import Store
from protocol.board_facts import BoardClaim
from protocol.evidence import GAINS
from protocol.gains import Gain
from protocol.opinions import claims_of, supported_votes
from protocol.record_kinds import ResultBody

HereWord: TypeAlias = Literal[
    "confirmed", "smaller", "refuted", "unconfirmed", "unrunnable", "kept", "no gain", "failed"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A gain measured on this node and its 95 % interval, positive if better.

    The ends are None if there were too few pairs for an interval.
    """

    gain_nano: int
    lower_nano: int | None
    upper_nano: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """The number of keys that reached each verdict, counted only if their runs support it.

    The author and this node are not counted.
    """

    confirmed: int = 0
    smaller: int = 0
    refuted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedClaim:
    """A peer's claim that was tried here, or several claims tried as one, and the outcome.

    `how` is `again` if the claimed patch was re-run on its own base, `head` if the whole claimed
    tree was compared with the head, and `idea` if the patches were tried as an experiment. An
    `idea` has its gains in `claimed_sd` and `gain_sd`, in standard deviations of one run. `others`
    are the verdicts of other keys, None for several claims tried as one.
    """

    ts_ms: int
    how: Literal["again", "head", "idea"]
    authors: tuple[bytes, ...]
    title: str
    others: Others | None
    here: HereWord
    claimed_nano: int | None = None
    measured: Interval | None = None
    claimed_sd: float | None = None
    gain_sd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnClaim:
    """A result of this node and peers' verdicts on its tree. `new` counts verdicts in the span."""

    result: bytes
    title: str
    claimed: Gain
    others: Others
    new: int
    here: Here


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedPatch:
    """A patch of the head whose gain was measured by running the head without it."""

    ts_ms: int
    title: str
    verdict: str
    measured: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersPart:
    """Peers' claims and verdicts in a span, oldest first.

    `removed` are patches of this node's head, each measured by running the head without it.
    `device_ms` is the device time of re-runs of claims, `removed_ms` the time for `removed`.
    """

    tried: tuple[TriedClaim, ...]
    own: tuple[OwnClaim, ...]
    removed: tuple[RemovedPatch, ...]
    device_ms: int
    removed_ms: int


class ReportedPeers:
    """A reader of the claims on one line's leaderboard."""

    def __init__(self, store: Store, line: LineKey, net: str) -> None:
        self._store = store
        self._line = line
        self._key = BoardKey(net=net, task=line.task, hardware_class=line.hardware_class)
        self._own_facts = store.boards.own_facts(self._key)
        self._own_author = next((fact.author for fact in self._own_facts), None)
        self._rows = {row.tree: row for row in store.boards.get(self._key).rows}
        self._claims = claims_of(store.boards.facts(self._key))
        self._own_words = {
            vote.tree: vote.verdict for vote in supported_votes(self._own_facts, self._claims)
        }

    def part(
        self,
        span: TimeSpan,
        ideas: Iterable[ConcludedIdea],
        confirmations: Iterable[ConcludedTrial],
    ) -> PeersPart:
        """Return a span's claims and verdicts, given the span's experiments and trials."""
        ended = [
            (ts_ms, job, step)
            for job in self._store.jobs.closed_jobs(self._line, RerunStep)
            if (ts_ms := self._verdict_ms(job, step := job.step)) in span
        ]
        parts = [one for one in ended if one[2].part is not None]
        again = [one for one in ended if one[2].part is None]
        tried = [
            *(self._again(ts, step) for ts, _, step in again if step.author != self._own_author),
            *self._as_heads(confirmations),
            *(self._as_idea(idea) for idea in ideas if idea.authors),
        ]
        return PeersPart(
            tried=tuple(sorted(tried, key=lambda one: (one.ts_ms, one.title))),
            own=tuple(self._own(span)),
            removed=tuple(self._removed(ts_ms, step) for ts_ms, _, step in parts),
            device_ms=sum(self._device_ms(job) for _, job, _ in again),
            removed_ms=sum(self._device_ms(job) for _, job, _ in parts),
        )

    def _again(self, ts_ms: int, step: RerunStep) -> TriedClaim:
        return TriedClaim(
            ts_ms=ts_ms,
            how="again",
            authors=(step.author,),
            title=self._title_of(step.target),
            others=self._others(step.tree),
            here=cast("HereWord", step.verdict),
            claimed_nano=step.gain_nano,
            measured=_interval(step.measured_nano, step.from_nano, step.to_nano),
        )

    def _as_heads(self, confirmations: Iterable[ConcludedTrial]) -> Iterator[TriedClaim]:
        jobs = self._store.jobs.closed_jobs(self._line, CatchUpStep)
        steps = [job.step for job in jobs]
        by_record = {step.measured.record: step for step in steps if step.measured}
        for one in confirmations:
            if step := by_record.get(one.entry.id):
                yield TriedClaim(
                    ts_ms=one.entry.ts_ms,
                    how="head",
                    authors=(step.author,),
                    title=self._title_of(step.target),
                    others=self._others(step.theirs),
                    here=one.verdict,
                    claimed_nano=step.gain_nano,
                    measured=interval_of(one.measured),
                )

    def _as_idea(self, idea: ConcludedIdea) -> TriedClaim:
        patch = self._store.records.patch(idea.claims[0]) if len(idea.claims) == 1 else None
        word: HereWord = "no gain"
        if idea.entry.decision in ("failed", "rejected"):
            word = "failed"
        elif idea.is_kept:
            word = "kept"
        return TriedClaim(
            ts_ms=idea.entry.ts_ms,
            how="idea",
            authors=idea.authors,
            title=idea.entry.title,
            others=self._others(patch.tree) if patch else None,
            here=word,
            claimed_sd=idea.claimed_sd,
            gain_sd=idea.gain_sd,
        )

    def _own(self, span: TimeSpan) -> Iterator[OwnClaim]:
        """Yield this node's valid results that it signed, or that peers re-ran, in the span."""
        here = measured_here(self._own_facts)
        words: dict[bytes, list[int]] = {}
        for vote in supported_votes(self._store.boards.facts(self._key), self._claims):
            if vote.author != self._own_author and vote.tree in here:
                words.setdefault(vote.tree, []).append(self._store.records.get(vote.id).ts_ms)
        for fact in self._own_facts:
            if not isinstance(fact, BoardClaim) or fact.gain is None:
                continue
            if here[fact.tree].verdict not in GAINS or self._store.records.retraction(fact.id):
                continue
            new = sum(ts_ms in span for ts_ms in words.get(fact.tree, ()))
            if new or self._store.records.get(fact.id).ts_ms in span:
                yield OwnClaim(
                    result=fact.id,
                    title=self._title_of(fact.id),
                    claimed=fact.gain,
                    others=self._others(fact.tree),
                    new=new,
                    here=here[fact.tree],
                )

    def _removed(self, ts_ms: int, step: RerunStep) -> RemovedPatch:
        part = self._store.records.patch(step.part) if step.part else None
        return RemovedPatch(
            ts_ms=ts_ms,
            title=part.title if part else "",
            verdict=step.verdict,
            measured=_interval(step.measured_nano, step.from_nano, step.to_nano),
        )

    def _others(self, tree: bytes) -> Others:
        """Return the leaderboard's counts without this node's own verdict."""
        row, own = self._rows.get(tree), self._own_words.get(tree)
        if row is None:
            return Others()
        is_counted = own is not None and row.author != self._own_author
        return Others(
            confirmed=max(0, row.confirmed - (is_counted and own == "confirmed")),
            smaller=max(0, row.smaller - (is_counted and own == "smaller")),
            refuted=max(0, row.refuted - (is_counted and own == "refuted")),
        )

    def _verdict_ms(self, job: Job[RerunStep], step: RerunStep) -> int:
        """Return the time of the published verdict, else the start of the job."""
        if step.record is None or not self._store.records.has(step.record):
            return job.created_ms
        return self._store.records.get(step.record).ts_ms

    def _title_of(self, result: bytes | None) -> str:
        body = (
            self._store.records.get(result).body
            if result and self._store.records.has(result)
            else None
        )
        patch = (
            self._store.records.patch(body.patch)
            if isinstance(body, ResultBody) and body.patch
            else None
        )
        return patch.title if patch else ""

    def _device_ms(self, job: Job[Any]) -> int:
        ended = (one.outcome.run for one in self._store.jobs.runs_of(job.id) if one.outcome)
        return sum(run.ms + run.serve_ms for run in ended)


def interval_of(measured: Measured | None) -> Interval | None:
    """Return a trial's gain with its interval; None if it measured no gain."""
    if measured is None:
        return None
    return _interval(measured.gain_nano, measured.lower_nano, measured.upper_nano)


def _interval(gain: int | None, lower: int | None, upper: int | None) -> Interval | None:
    if gain is None:
        return None
    return Interval(gain_nano=gain, lower_nano=lower, upper_nano=upper)
