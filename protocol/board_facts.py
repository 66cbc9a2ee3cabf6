"""The facts that leaderboards read from records.

They are claims, votes, changes of verified heads, withdrawals and equivocations.
Each fact depends on one record (an equivocation on two) and the task's manifest, so a store can
keep it alongside the record. protocol/board.py combines many facts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from protocol.encoding import MAX_INT
from protocol.evidence import Evidence, noise_floor_nano
from protocol.gains import (
    MIN_ANCHOR_PAIRS,
    FigureScale,
    Gain,
    figures_of,
    gain_of,
    pairs_of,
)
from protocol.hardware import ANY
from protocol.manifest import TaskManifest
from protocol.record_kinds import AdoptBody, ResultBody
from protocol.records import Record
from protocol.remarks import RetractBody
from protocol.rerun import Repeated, RerunBody
from protocol.runs import CONTENDED, Env, Role
from protocol.styles import Style

IMPLAUSIBLE: Final = "implausible"  # flags a gain above the task's max_step


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardClaim:
    """The facts of one result of the stage `confirm`. If `gain` is None, it counts only as a try.

    `anchor_gain` is the gain over the task's baseline (the anchor), on the split with the smaller
    lower bound.
    `noise_nano` is the standard deviation of one run. `published` holds (seed, public figure) of
    the candidate's runs, only in the class `any`, whose figures do not depend on the machine.
    """

    id: bytes
    author: bytes
    base: bytes
    tree: bytes
    metric_nano: int
    gain: Gain | None
    anchor_gain: Gain | None
    noise_nano: int
    size_bytes: int
    env: Env
    flags: tuple[str, ...]
    published: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The facts of a re-run's record; its verdict counts only if its runs support it.

    `target` is the result that it checks. `anchor_gain` is the gain over the anchor. `again` is the
    figure of one more run with a seed that the target's author published, only in the class `any`.
    """

    id: bytes
    author: bytes
    seq: int
    base: bytes
    tree: bytes
    target: bytes | None
    verdict: str
    gain: Gain | None
    anchor_gain: Gain | None
    evidence: Evidence
    again: Repeated | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadMove:
    """The facts of an adoption: its author's verified head is now this tree."""

    id: bytes
    author: bytes
    tree: bytes


Fact: TypeAlias = BoardClaim | Vote | HeadMove


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A retraction of one of the author's own records or, without a target, of the author's key."""

    id: bytes
    author: bytes
    target: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """The lowest sequence number that an author used twice, and the two smallest ids with it."""

    author: bytes
    seq: int
    ids: tuple[bytes, bytes]


def read_by(record: Record) -> tuple[bytes, str] | None:
    """Return the (task, hardware class) whose leaderboard reads a record; None if none does."""
    match record.body:
        case ResultBody(stage="confirm") | RerunBody() | AdoptBody(unverified=False):
            return record.body.task, record.body.hardware_class
        case _:
            return None


def read_fact(record: Record, manifest: TaskManifest, hardware_class: str) -> Fact | None:
    """Return the fact that this leaderboard reads from a record; None if it does not read it."""
    if read_by(record) != (manifest.id, hardware_class):
        return None
    match record.body:
        case ResultBody() as body:
            return _claim(record, body, manifest)
        case RerunBody() as body:
            return _vote(record, body, manifest)
        case AdoptBody() as body:
            return HeadMove(id=record.id, author=record.author, tree=body.to_tree)
        case _:
            return None


def read_withdrawal(record: Record) -> Withdrawal | None:
    """Return the withdrawal that a retraction states; None for any other record."""
    if not isinstance(record.body, RetractBody):
        return None
    return Withdrawal(id=record.id, author=record.author, target=record.body.target)


def _claim(record: Record, body: ResultBody, manifest: TaskManifest) -> BoardClaim:
    scale = FigureScale.of(manifest)
    own = pairs_of(body.runs, "base", scale, secret=True)
    secret, public = (_anchor_gain(body, manifest, scale, secret=it) for it in (True, False))
    published = figures_of(body.runs, "candidate", scale, secret=False)
    metrics = published.values()
    evidence = Evidence.of(own, manifest.noise_floor_nano, Style.of(manifest))
    gain = evidence.gain if body.status == "ok" else None
    return BoardClaim(
        id=record.id,
        author=record.author,
        base=body.base,
        tree=body.tree,
        metric_nano=sum(metrics) // len(metrics) if metrics else 0,
        gain=gain,
        anchor_gain=_lower_of(secret, public),
        noise_nano=_noise_nano(evidence, manifest),
        size_bytes=MAX_INT if body.size_bytes is None else body.size_bytes,
        env=body.env,
        flags=tuple(_flags(body, gain, manifest)),
        published=tuple(published.items()) if body.hardware_class == ANY else (),
    )


def _noise_nano(evidence: Evidence, manifest: TaskManifest) -> int:
    """Return the noise of one run; 0 on exact tasks, where the best of many tries is not luck."""
    if evidence.style == "exact":
        return 0
    return max(evidence.noise_nano, manifest.noise_floor_nano)


def _lower_of(secret: Gain | None, public: Gain | None) -> Gain | None:
    """Return the gain whose lower bound is smaller; None unless both splits have a gain.

    Neither split is safe alone: screens select on the public split, and an author may draw its
    secret split again until the result looks good.
    """
    if secret is None or public is None:
        return None
    return min(secret, public, key=lambda one: one.mean - one.reach)


def _anchor_gain(
    body: ResultBody | RerunBody, manifest: TaskManifest, scale: FigureScale, *, secret: bool
) -> Gain | None:
    # If the base is the baseline, its pairs are also the anchor's. Their number was not fixed.
    anchor: Role = "base" if body.base == manifest.baseline_tree else "anchor"
    pairs, noise_nano = pairs_of(body.runs, anchor, scale, secret=secret), manifest.noise_floor_nano
    style = Style.of(manifest)
    if len(pairs) < style.anchor_pairs(MIN_ANCHOR_PAIRS):
        return None
    if anchor == "base" or style.is_exact:
        gain = Evidence.of(pairs, noise_nano, style).gain
        # Other rows show the mean in this column, so show it here as well.
        return gain and replace(gain, estimate=gain.mean)
    differences = [against - candidate for against, candidate in pairs]
    return gain_of(differences, noise_floor_nano(differences, noise_nano, style))


def _flags(body: ResultBody, gain: Gain | None, manifest: TaskManifest) -> Iterator[str]:
    if any(CONTENDED in run.flags for run in body.runs):
        yield CONTENDED
    if gain is not None and gain.value_nano > manifest.metric.max_step_nano:
        yield IMPLAUSIBLE


def _vote(record: Record, body: RerunBody, manifest: TaskManifest) -> Vote:
    scale = FigureScale.of(manifest)
    pairs = pairs_of(body.runs, "base", scale, secret=True)
    evidence = Evidence.of(pairs, manifest.noise_floor_nano, Style.of(manifest))
    return Vote(
        id=record.id,
        author=record.author,
        seq=record.seq,
        base=body.base,
        tree=body.tree,
        target=body.target,
        verdict=body.verdict,
        gain=evidence.gain,
        anchor_gain=_anchor_gain(body, manifest, scale, secret=True),
        evidence=evidence,
        again=Repeated.of(body.again, manifest.noise_floor_nano)
        if body.hardware_class == ANY
        else None,
    )
