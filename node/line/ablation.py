"""Ablation: measure the gain of each patch in the verified head, by removing the patch.

A passed promotion trial is evidence for a stack of patches, not for each patch. Once new ideas stop
gaining, each patch ("part") is judged like a claim: the head against the head without the part. If
this confirms a gain, the part stays. If the line measures no worse without the part, the part is
removed from the working line. A removal has no gain that a promotion trial could confirm, so it is
judged together with later patches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent.source.canonical import fingerprint, parse
from node.line.line_writer import LineWriter
from node.line.promotion_trial import PromotionTrial
from node.line.rerun import RerunStep, WantedClaim, step_of
from node.source_review.patches import merged
from node.store.experiments import ABLATION, is_branching
from node.store.jobs import Job
from node.store.store import Store
from protocol.record_kinds import Origin, PatchBody
from protocol.rule import DEFAULT, PART_ALPHA
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLess:
    """A patch of the head, and the working line with and without it."""

    part: bytes
    rest: Source
    working: Source


def open_ablation(line_writer: LineWriter) -> Job[RerunStep] | None:
    """Queue the trial without the next patch; return None if no patch is left to remove."""
    found = next_part(line_writer)
    return _open(line_writer, found.part, found.rest, found.working) if found else None


def next_part(line_writer: LineWriter) -> PartLess | None:
    """Return the patch that `open_ablation` would try to remove next."""
    jobs = line_writer.store.jobs.closed_jobs(line_writer.key, RerunStep)
    asked = {(job.step.part, job.step.tree) for job in jobs}
    working = line_writer.explored
    for part in _parts(line_writer):
        if (part, working.tree) in asked:
            continue
        patch = line_writer.store.records.patch(part)
        rest = _without(line_writer, working, patch) if patch else None
        if rest is not None:
            return PartLess(part=part, rest=rest, working=working)
    return None


def only_simplifies(store: Store, stack: Sequence[bytes]) -> bool:
    """Return True if no patch in a stack claims a gain; also True for an empty stack."""
    patches = (store.records.patch(part) for part in stack)
    return all(patch and _claims_no_gain(patch.origin) for patch in patches)


def _claims_no_gain(origin: Origin) -> bool:
    """Return True if a patch removes an earlier patch or begins a branch."""
    return origin.proposer == ABLATION or is_branching(origin)


def _open(line_writer: LineWriter, part: bytes, rest: Source, working: Source) -> Job[RerunStep]:
    record_writer = line_writer.record_writer
    wanted = WantedClaim(
        base=rest,
        candidate=working,
        author=record_writer.author,
        alpha=PART_ALPHA,
        max_pairs=DEFAULT.max_pairs,
    )
    # Signed although it is this node's own patch: it counts for no claim, but shows peers the gain.
    asked = step_of(wanted, key=record_writer.key, store=line_writer.store, line=line_writer.key)
    step = replace(asked, part=part, is_published=True)
    line_writer.blobs.put_source(rest)
    return line_writer.open_job(step)


def _parts(line_writer: LineWriter) -> Iterator[bytes]:
    """Yield the patches of all promoted stacks, the last first.

    Stacks of one patch are skipped: their promotion trial already measured the patch alone.
    """
    for job in reversed(line_writer.store.jobs.closed_jobs(line_writer.key, PromotionTrial)):
        if job.step.passed and len(job.step.stack) > 1:
            yield from reversed(job.step.stack)


def _without(line_writer: LineWriter, working: Source, patch: PatchBody) -> Source | None:
    """Return the working line with a patch undone; None if that is not possible."""
    if _claims_no_gain(patch.origin):
        return None
    before, after = line_writer.source(patch.base), line_writer.source(patch.tree)
    rest = merged(after, working, before)
    if rest is None or fingerprint(rest) == fingerprint(working):
        return None
    is_whole = all(parse(data) for path, data in rest.files if path.endswith(".py"))
    return rest if is_whole else None
