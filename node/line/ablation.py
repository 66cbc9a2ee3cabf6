"""Ablation: measure what each part of the head is worth, by the head against itself without it.

A passed checkpoint vouches for a stack, not for its parts. Once own ideas gain nothing any more,
each part is tried like a claim. A part that is confirmed does gain something. A part without which
the line measures no worse is taken out of the working line; that is no gain which a checkpoint
could confirm, so it waits for the next stack.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent.source.canonical import fingerprint, parse
from node.line.attestation import AttestationStep, WantedClaim, step_of
from node.line.checkpoint import CheckpointStep
from node.line.ledger import Ledger
from node.store.experiments import ABLATION, is_branching
from node.store.jobs import Job
from node.store.store import Store
from node.vetting.patches import merged
from protocol.record_kinds import Origin, PatchBody
from protocol.rule import DEFAULT, PART_ALPHA
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLess:
    """A part of the head's, and the line with and without it."""

    part: bytes
    rest: Source
    working: Source


def open_ablation(ledger: Ledger) -> Job[AttestationStep] | None:
    """Queue the trial of the next part; return None if none is left that can be taken out."""
    found = next_part(ledger)
    return _open(ledger, found.part, found.rest, found.working) if found else None


def next_part(ledger: Ledger) -> PartLess | None:
    """Return what `open_ablation` would ask about."""
    jobs = ledger.store.jobs.closed_jobs(ledger.key, AttestationStep)
    asked = {(job.step.part, job.step.tree) for job in jobs}
    working = ledger.explored
    for part in _parts(ledger):
        if (part, working.tree) in asked:
            continue
        patch = ledger.store.records.patch(part)
        rest = _without(ledger, working, patch) if patch else None
        if rest is not None:
            return PartLess(part=part, rest=rest, working=working)
    return None


def only_simplifies(store: Store, stack: Sequence[bytes]) -> bool:
    """Say whether nothing in a stack claims a gain; an empty one claims none."""
    patches = (store.records.patch(part) for part in stack)
    return all(patch and _claims_no_gain(patch.origin) for patch in patches)


def _claims_no_gain(origin: Origin) -> bool:
    """Say whether a patch takes a part out, or is a branch's step to another tree."""
    return origin.proposer == ABLATION or is_branching(origin)


def _open(ledger: Ledger, part: bytes, rest: Source, working: Source) -> Job[AttestationStep]:
    publication = ledger.publication
    wanted = WantedClaim(
        base=rest,
        candidate=working,
        author=publication.author,
        alpha=PART_ALPHA,
        max_pairs=DEFAULT.max_pairs,
    )
    # Signed although it is one's own: nobody counts it, but all may read what a part is worth.
    asked = step_of(wanted, key=publication.key, store=ledger.store, line=ledger.key)
    step = replace(asked, part=part, is_published=True)
    ledger.blobs.put_source(rest)
    return ledger.open_job(step)


def _parts(ledger: Ledger) -> Iterator[bytes]:
    """The patches of the stacks that made the head, the last first.

    A patch that was a stack by itself is known: its checkpoint asked about nothing else.
    """
    for job in reversed(ledger.store.jobs.closed_jobs(ledger.key, CheckpointStep)):
        if job.step.passed and len(job.step.stack) > 1:
            yield from reversed(job.step.stack)


def _without(ledger: Ledger, working: Source, patch: PatchBody) -> Source | None:
    """Return the working line with a patch's step undone; None where that is not possible."""
    if _claims_no_gain(patch.origin):
        return None
    before, after = ledger.source(patch.base), ledger.source(patch.tree)
    rest = merged(after, working, before)
    if rest is None or fingerprint(rest) == fingerprint(working):
        return None
    is_whole = all(parse(data) for path, data in rest.files if path.endswith(".py"))
    return rest if is_whole else None
