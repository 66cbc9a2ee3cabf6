"""Checks of a bundle's consistency. The checks run none of the bundle's code.

Each finding is one line of text. A consistent claim may still be wrong: only a re-run can verify
it. This module also finds the two sources that such a re-run needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.source.capabilities import CapabilityFinding
from node.exchange.bundle import Bundle, Subject, trees_of
from node.source_review.adoption import marks_beyond
from protocol.board_facts import BoardClaim, read_fact
from protocol.errors import Rejected, SafetyError, UsageError
from protocol.gains import Gain
from protocol.hygiene import check_for_task
from protocol.manifest import TaskManifest
from protocol.patches import apply_packed
from protocol.record_kinds import AdoptBody, PatchBody, ResultBody, TaskBody
from protocol.records import Record
from protocol.rerun import RerunBody
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFinding:
    """The outcome of a check: its name, whether it passed, and details."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundClaim:
    """A consistent claim. `target` is the id of the result that states it, None without one."""

    manifest: TaskManifest
    base: Source
    candidate: Source
    target: bytes | None
    author: bytes
    claimed: Gain | None


def check_bundle(bundle: Bundle) -> list[BundleFinding]:
    """Return all checks of a bundle. It is consistent if all of them passed."""
    body = bundle.subject.body
    findings = [
        BundleFinding(
            name="records",
            ok=True,
            detail=f"{len(bundle.records)} valid, {len(bundle.blobs)} blobs intact",
        )
    ]
    if not isinstance(body, Subject):
        about = BundleFinding(
            name="subject", ok=False, detail=f"a {bundle.subject.kind} record has no code to run"
        )
        return [*findings, about]
    manifest = manifest_of(bundle, body.task)
    if manifest is None:
        return [
            *findings,
            BundleFinding(name="task", ok=False, detail="its task record is missing"),
        ]
    findings.append(
        BundleFinding(name="task", ok=True, detail=f"{manifest.name} {body.task.hex()[:12]}")
    )
    baseline = bundle.source(manifest.baseline_tree)
    if baseline is None:
        return [
            *findings,
            BundleFinding(name="baseline", ok=False, detail="its source is missing"),
        ]
    findings += _sources(bundle, body, manifest, baseline)
    findings += _patches(bundle, body)
    return findings


def claim_in(bundle: Bundle, name: str) -> FoundClaim:
    """Return the claim of a bundle. Raises SafetyError if the bundle is inconsistent.

    Raises UsageError if the bundle is about a baseline.
    """
    for finding in check_bundle(bundle):
        if not finding.ok:
            raise _torn(name, f"{finding.name}: {finding.detail}")
    maker = _maker(bundle)
    body = maker.body
    assert isinstance(body, Subject)  # noqa: S101 -- it was checked
    manifest = manifest_of(bundle, body.task)
    base, candidate = (bundle.source(tree) for tree in trees_of(body))
    if manifest is None or base is None or candidate is None:
        raise _torn(name, "the task or a source of the result that it names is missing")
    if base.tree == candidate.tree:
        raise UsageError(
            f"{name} is a baseline, which claims no gain", "`arnode leaderboard` lists claims"
        )
    return FoundClaim(
        manifest=manifest,
        base=base,
        candidate=candidate,
        target=maker.id if isinstance(body, ResultBody) else None,
        author=maker.author,
        claimed=claimed_by(maker, manifest),
    )


def claimed_by(record: Record, manifest: TaskManifest | None) -> Gain | None:
    """Return the gain that a result claims. None if the record is no result, or has no pairs."""
    if manifest is None or not isinstance(record.body, ResultBody):
        return None
    fact = read_fact(record, manifest, record.body.hardware_class)
    return fact.gain if isinstance(fact, BoardClaim) else None


def marks_in(bundle: Bundle) -> tuple[CapabilityFinding, ...] | None:
    """Return the capabilities of a bundle's code that the task's baseline lacks.

    None if the code is missing. If the baseline is missing, return all capabilities other than
    arithmetic.
    """
    body = bundle.subject.body
    if not isinstance(body, Subject) or (source := bundle.source(trees_of(body)[1])) is None:
        return None
    manifest = manifest_of(bundle, body.task)
    baseline = None if manifest is None else bundle.source(manifest.baseline_tree)
    return marks_beyond(source, baseline, manifest)


def manifest_of(bundle: Bundle, task: bytes) -> TaskManifest | None:
    """Return the manifest of a task from the bundle's task records; None if there is none."""
    for record in bundle.records.values():
        if isinstance(record.body, TaskBody) and record.body.manifest.id == task:
            return record.body.manifest
    return None


def _sources(
    bundle: Bundle,
    body: Subject,
    manifest: TaskManifest,
    baseline: Source,
) -> Iterator[BundleFinding]:
    for name, tree in zip(("base", "tree"), trees_of(body), strict=True):
        source = bundle.source(tree)
        if source is None:
            yield BundleFinding(
                name=name, ok=False, detail=f"the source {tree.hex()[:12]} is missing"
            )
            continue
        fault = check_for_task(source, manifest, baseline=baseline)
        detail = f"{tree.hex()[:12]}, {sum(len(data) for _, data in source.files)} bytes"
        yield BundleFinding(name=name, ok=fault is None, detail=fault.reason if fault else detail)


def _patches(bundle: Bundle, body: Subject) -> Iterator[BundleFinding]:
    patch = body if isinstance(body, PatchBody) else None
    if isinstance(body, ResultBody) and body.patch is not None:
        record = bundle.records.get(body.patch)
        if record is None or not isinstance(record.body, PatchBody):
            yield BundleFinding(name="patch", ok=False, detail="the result's patch is missing")
            return
        patch = record.body
        if (patch.task, patch.base, patch.tree) != (body.task, body.base, body.tree):
            yield BundleFinding(
                name="patch", ok=False, detail="its base or its tree is not that of the result"
            )
            return
    if patch is not None:
        fault = _diff_fault(bundle, patch)
        yield BundleFinding(
            name="patch", ok=fault is None, detail=fault or "its diff produces the tree"
        )


def _diff_fault(bundle: Bundle, patch: PatchBody) -> str | None:
    base = bundle.source(patch.base)
    packed = patch.diff.zlib if patch.diff.blob is None else bundle.blobs.get(patch.diff.blob)
    if base is None or packed is None:
        return "its base or its diff is missing"
    made = apply_packed(base, packed)
    if isinstance(made, Rejected):
        return made.reason
    return None if made.tree == patch.tree else "its diff produces another tree"


def _maker(bundle: Bundle) -> Record:
    """Return the record that makes the claim.

    For a re-run or an adoption this is the result that it names, if the bundle has that result.
    Otherwise this is the record that the bundle is about.
    """
    match bundle.subject.body:
        case RerunBody(target=named) | AdoptBody(evidence=named) if named is not None:
            made = bundle.records.get(named)
            if made is not None and isinstance(made.body, ResultBody):
                return made
    return bundle.subject


def _torn(name: str, fault: str) -> SafetyError:
    return SafetyError(
        f"{name} is inconsistent: {fault}",
        f"do not run or adopt it; `arnode verify {name} --check-only` shows all checks",
    )
