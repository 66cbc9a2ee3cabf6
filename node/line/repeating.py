"""A first check of claims whose figures do not depend on the machine.

The tree is run with a seed whose figure the author published. An honest author's figure is the same
on every machine. So one run can refute a claim for which pairs would take many runs.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from node.line.trial import Confirmation
from node.store.jobs import LineKey, PlannedRun
from node.store.store import Store
from protocol.gains import FigureScale, figures_of
from protocol.hardware import ANY
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.rerun import Repeated, rerun_seed
from protocol.runs import Role
from protocol.units import NANO

AGAIN: Final[Role] = "again"


class _InARole(Protocol):
    @property
    def role(self) -> str: ...


R = TypeVar("R", bound=_InARole)


def separate_repeat(runs: Sequence[R]) -> tuple[list[R], R | None]:
    """Split a re-run's runs into those on new seeds and the one on a published seed."""
    again = next((run for run in runs if run.role == AGAIN), None)
    return [run for run in runs if run is not again], again


def claim_answered(
    store: Store, target: bytes | None, base: bytes, tree: bytes
) -> ResultBody | None:
    """Return the result that is re-run; None if it is not stored or is about another patch."""
    body = store.records.get(target).body if target and store.records.has(target) else None
    if isinstance(body, ResultBody) and (body.base, body.tree) == (base, tree):
        return body
    return None


def published_figure(
    store: Store, line: LineKey, claim: ResultBody | None, proof: bytes
) -> tuple[int, int] | None:
    """Return a seed that a claim's author published, and its published figure in 1e-9 units.

    Return None if the figure may depend on the machine. The seed is chosen from the published ones
    by `proof`, a signature of this node, so the claim's author cannot predict the choice.
    """
    manifest = store.records.manifest(line.task)
    if claim is None or manifest is None or {line.hardware_class, claim.hardware_class} != {ANY}:
        return None
    figures = figures_of(claim.runs, "candidate", FigureScale.of(manifest), secret=False)
    published = sorted(figures.items())
    return published[rerun_seed(proof, 0) % len(published)] if published else None


def look_again(
    confirmation: Confirmation,
    again: PlannedRun | None,
    published_nano: int | None,
    manifest: TaskManifest,
) -> Confirmation:
    """Return the trial's next step, given the run with a published seed.

    If its figure contradicts the published one, the claim is refuted after the first complete pair.
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
