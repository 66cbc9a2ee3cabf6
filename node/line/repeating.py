"""Where no machine changes a figure, a claim is first asked for one that its author published.

Whoever runs the tree with a seed of the author's gets the same figure, or the author never did: one
run refutes what otherwise takes many pairs.
"""

from dataclasses import replace
from typing import Final

from node.line.trial import Confirmation
from node.store.jobs import LineKey, PlannedRun
from node.store.store import Store
from protocol.attestation import Repeated, attestation_seed
from protocol.hardware import ANY
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.runs import Role, Run
from protocol.units import NANO

AGAIN: Final[Role] = "again"


def published_run(
    store: Store, line: LineKey, target: bytes | None, proof: bytes, base: bytes, tree: bytes
) -> Run | None:
    """Return the run of a claim that is made again; None where none need come out the same.

    Which one follows from the proof, so that its author cannot know.
    """
    if target is None or line.hardware_class != ANY:
        return None
    body = store.records.get(target).body if store.records.has(target) else None
    if not isinstance(body, ResultBody):
        return None
    if (body.hardware_class, body.base, body.tree) != (ANY, base, tree):
        return None
    first = {run.seed: run for run in reversed(body.runs) if _is_own(run)}
    published = [first[seed] for seed in sorted(first)]
    return published[attestation_seed(proof, 0) % len(published)] if published else None


def look_again(
    confirmation: Confirmation,
    again: PlannedRun | None,
    published_nano: int | None,
    manifest: TaskManifest,
) -> Confirmation:
    """Return what comes next where a published seed was run again as well.

    A figure that is another one than was published decides with the first whole pair.
    """
    if again is None or published_nano is None or confirmation.move == "unrunnable":
        return confirmation
    if again.run is None:
        return replace(confirmation, move="wait")
    if again.run.status != "ok":
        return replace(confirmation, move="unrunnable", judgement=None, failed=again.run)
    found = Repeated.of(again.run, manifest.noise_floor_nano)
    if found is None or confirmation.latest is None or not found.contradicts(published_nano):
        return confirmation
    return replace(
        confirmation,
        move="miss",
        judgement=replace(confirmation.latest, verdict="refuted", claim="does_not_hold"),
        contradiction=(
            f"with seed {found.seed} its author published {published_nano / NANO:.6g}, "
            f"here it is {found.nano / NANO:.6g}"
        ),
    )


def _is_own(run: Run) -> bool:
    return run.role == "candidate" and run.status == "ok"
