"""What the parts of a head are worth: each is taken out, and the head measured against the rest.

A passed checkpoint vouches for a stack only. Where own ideas bring nothing any more, its parts are
asked one by one, as a claim is: a part that is confirmed so does gain something; one without
which the line measures no worse is taken out of the working line. That alone is no gain that a
checkpoint could confirm, so it rides with the next one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from agent.source.canonical import fingerprint, parse
from node.loop.attestations import WantedClaim, step_of
from node.loop.ledger import Ledger
from node.loop.steps import AttestationStep, CheckpointStep
from node.loop.trial import Confirmation
from node.store.experiments import ABLATION, is_branching
from node.store.jobs import Job
from node.store.store import Store
from node.vetting.merging import merged
from protocol.changes import Origin
from protocol.kinds import PatchBody
from protocol.rule import DEFAULT
from protocol.runs import Role, Run
from protocol.source import Source


def open_ablation(ledger: Ledger) -> Job | None:
    """Queue the next part to be asked about; None if each was, or none can be taken out."""
    asked = {(step.part, step.tree) for step in _asked(ledger)}
    working = ledger.explored
    for part in _parts(ledger):
        if (part, working.tree) in asked:
            continue
        patch = ledger.store.patch(part)
        rest = _without(ledger, working, patch) if patch else None
        if rest is not None:
            return _open(ledger, part, rest, working)
    return None


def take_out(
    ledger: Ledger, step: AttestationStep, runs: Sequence[Run], confirmation: Confirmation
) -> None:
    """Let the working line go on without a part that it measured no worse without.

    Callers hold the transaction.
    """
    line, part = ledger.known_line, step.part and ledger.store.patch(step.part)
    latest = confirmation.latest
    if not part or latest is None or latest.gain > 0 or line.working != step.tree:
        return
    # What was the base to the part is the candidate here: the same runs, the other way round.
    turned: dict[str, Role] = {"base": "candidate", "candidate": "base", "anchor": "anchor"}
    patch = ledger.publication.patch(
        step.tree,
        step.base,
        title=f"without: {part.title}",
        why=f"The line measures no worse without it: {latest.gain:.6f} in {len(runs)} runs.",
        parents=(step.part,) if step.part else (),
        origin=Origin(proposer=ABLATION),
    )
    record = ledger.publication.result(
        patch.id,
        step.tree,
        step.base,
        stage="keep",
        runs=[replace(run, role=turned[run.role]) for run in runs],
        note="kept: as good without this part",
        has_verdict=True,
    )
    mark = fingerprint(ledger.source(step.base))
    ledger.store.mark_tried(ledger.key.task, mark, record.id)
    ledger.go_on_from(step.base, patch.id, [pair.base for pair in confirmation.pairs[-2:]])


def only_simplifies(store: Store, stack: Sequence[bytes]) -> bool:
    """Say whether nothing in a stack claims a gain; an empty one claims none."""
    patches = (store.patch(part) for part in stack)
    return all(patch and _claims_no_gain(patch.origin) for patch in patches)


def _claims_no_gain(origin: Origin) -> bool:
    """Say so of a part less, and of a branch's step to another tree."""
    return origin.proposer == ABLATION or is_branching(origin)


def _open(ledger: Ledger, part: bytes, rest: Source, working: Source) -> Job:
    publication = ledger.publication
    wanted = WantedClaim(
        base=rest,
        candidate=working,
        target=None,
        author=publication.author,
        gain_nano=None,
        lower_nano=None,
        alpha=DEFAULT.alpha,
        max_pairs=DEFAULT.max_pairs,
        is_quick=False,
        is_published=True,
    )
    # Signed although it is one's own: nobody counts it, but all may read what a part is worth.
    step = replace(step_of(wanted, key=publication.key), part=part, is_published=True)
    ledger.blobs.put_source(rest)
    with ledger.store.transaction():
        return ledger.open_job("attestation", step.to_value())


def _asked(ledger: Ledger) -> Iterator[AttestationStep]:
    for job in ledger.store.closed_jobs(ledger.key, "attestation"):
        yield AttestationStep.from_value(job.body)


def _parts(ledger: Ledger) -> Iterator[bytes]:
    """The patches of the stacks that made the head, the last first.

    A patch that was a stack by itself is known: its checkpoint asked about nothing else.
    """
    for job in reversed(ledger.store.closed_jobs(ledger.key, "checkpoint")):
        step = CheckpointStep.from_value(job.body)
        if step.passed and len(step.stack) > 1:
            yield from reversed(step.stack)


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
