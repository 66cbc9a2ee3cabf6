"""What boards read of records: claims, votes, moves, withdrawals and equivocations.

Each follows from one record (an equivocation from two) and the task's manifest, so that a store
can keep them beside the records. What follows from many of them is in protocol/board.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from protocol.attestation import AttestBody, Repeated
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
from protocol.runs import CONTENDED, Env, Role
from protocol.styles import Style

IMPLAUSIBLE: Final = "implausible"  # the flag of a gain above the task's max_step


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardClaim:
    """What a board reads of one confirm result; without a gain it is only a try.

    `anchor_gain` is over the anchor, on the split on which less of it is sure; `noise_nano` how
    much one of its runs scatters. `published` are seeds and public figures of the tree's own runs,
    where no machine changes them.
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
    """What a board reads of an attestation; it counts only if its runs bear it out.

    `target` is the result that it answers; `anchor_gain` is over the anchor; `again` what became of
    a seed that the target's author published, where no machine changes a figure.
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
    """What a board reads of an adoption."""

    id: bytes
    author: bytes
    tree: bytes


Fact: TypeAlias = BoardClaim | Vote | HeadMove


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A retraction of one own record, or (without a target) of the author's key."""

    id: bytes
    author: bytes
    target: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """An author's lowest number that two records bear, and the two smallest ids of those."""

    author: bytes
    seq: int
    ids: tuple[bytes, bytes]


def read_by(record: Record) -> tuple[bytes, str] | None:
    """Return the task and hardware class whose board reads a record; None if none does."""
    match record.body:
        case ResultBody(stage="confirm") | AttestBody() | AdoptBody(unverified=False):
            return record.body.task, record.body.hardware_class
        case _:
            return None


def read_fact(record: Record, manifest: TaskManifest, hardware_class: str) -> Fact | None:
    """Return what this board reads of a record; None if it does not read it."""
    if read_by(record) != (manifest.id, hardware_class):
        return None
    match record.body:
        case ResultBody() as body:
            return _claim(record, body, manifest)
        case AttestBody() as body:
            return _vote(record, body, manifest)
        case AdoptBody() as body:
            return HeadMove(id=record.id, author=record.author, tree=body.to_tree)
        case _:
            return None


def read_withdrawal(record: Record) -> Withdrawal | None:
    """Return what boards read of a retraction; None of anything else."""
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
    """Of what is exact the best of many tries is no luck."""
    if evidence.style == "exact":
        return 0
    return max(evidence.noise_nano, manifest.noise_floor_nano)


def _lower_of(secret: Gain | None, public: Gain | None) -> Gain | None:
    """Screens select on the public split, and an author may draw the secret one again."""
    if secret is None or public is None:
        return None
    return min(secret, public, key=lambda one: one.mean - one.reach)


def _anchor_gain(
    body: ResultBody | AttestBody, manifest: TaskManifest, scale: FigureScale, *, secret: bool
) -> Gain | None:
    # Against the baseline itself the pairs are the anchor's, and end where they say enough.
    anchor: Role = "base" if body.base == manifest.baseline_tree else "anchor"
    pairs, noise_nano = pairs_of(body.runs, anchor, scale, secret=secret), manifest.noise_floor_nano
    style = Style.of(manifest)
    if len(pairs) < style.anchor_pairs(MIN_ANCHOR_PAIRS):
        return None
    if anchor == "base" or style.name == "exact":
        gain = Evidence.of(pairs, noise_nano, style).gain
        return gain and replace(gain, estimate=gain.mean)  # as others are told, in one column
    differences = [against - candidate for against, candidate in pairs]
    return gain_of(differences, noise_floor_nano(differences, noise_nano, style))


def _flags(body: ResultBody, gain: Gain | None, manifest: TaskManifest) -> Iterator[str]:
    if any(CONTENDED in run.flags for run in body.runs):
        yield CONTENDED
    if gain is not None and gain.value_nano > manifest.metric.max_step_nano:
        yield IMPLAUSIBLE


def _vote(record: Record, body: AttestBody, manifest: TaskManifest) -> Vote:
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
