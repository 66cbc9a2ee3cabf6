"""What a bundle proves by itself: that everything in it fits together. Nothing is run.

Each finding is one line. A claim that holds together is still a claim: only re-running it says
whether it is true.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.source.capabilities import Finding as Mark
from node.exchange.bundle import Bundle, Subject, trees_of
from node.vetting.adoption import marks_beyond
from protocol.board_facts import Claim, read_fact
from protocol.errors import Rejected
from protocol.hygiene import check_for_task
from protocol.kinds import PatchBody, ResultBody, TaskBody
from protocol.manifest import TaskManifest
from protocol.patches import apply_packed
from protocol.records import Record
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked, whether it holds, and what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What the bundle's result says it gained, in 1e-9 units of the metric."""

    gain_nano: int
    lower_nano: int
    gain_anchor_nano: int | None
    lower_anchor_nano: int | None
    pairs: int


def check_bundle(bundle: Bundle) -> list[Finding]:
    """Return everything that was checked; it holds if all of it is ok."""
    body = bundle.subject.body
    findings = [
        Finding(
            name="records",
            ok=True,
            detail=f"{len(bundle.records)} valid, {len(bundle.blobs)} blobs whole",
        )
    ]
    if not isinstance(body, Subject):
        about = Finding(name="subject", ok=False, detail=f"a {bundle.subject.kind}: nothing to run")
        return [*findings, about]
    manifest = manifest_of(bundle, body.task)
    if manifest is None:
        return [*findings, Finding(name="task", ok=False, detail="its announcement is missing")]
    findings.append(Finding(name="task", ok=True, detail=f"{manifest.name} {body.task.hex()[:12]}"))
    baseline = bundle.source(manifest.baseline_tree)
    if baseline is None:
        return [*findings, Finding(name="baseline", ok=False, detail="its source is missing")]
    findings += _sources(bundle, body, manifest, baseline)
    findings += _patches(bundle, body)
    return findings


def claimed_by(record: Record, manifest: TaskManifest | None) -> Claimed | None:
    """Return what a result claims; None of anything else or without pairs."""
    if not isinstance(record.body, ResultBody):
        return None
    if manifest is None:
        return None
    fact = read_fact(record, manifest, record.body.hardware_class)
    if not isinstance(fact, Claim) or fact.gain is None:
        return None
    anchor = fact.anchor_gain
    return Claimed(
        gain_nano=fact.gain.value_nano,
        lower_nano=fact.gain.lower_nano(),
        gain_anchor_nano=None if anchor is None else anchor.value_nano,
        lower_anchor_nano=None if anchor is None else anchor.lower_nano(),
        pairs=fact.gain.pairs,
    )


def marks_in(bundle: Bundle) -> tuple[Mark, ...] | None:
    """Return what its code does that the task's baseline does not; None where it is not in it.

    Without the baseline everything beyond arithmetic is a mark.
    """
    body = bundle.subject.body
    source = bundle.source(trees_of(body)[1]) if isinstance(body, Subject) else None
    if source is None or not isinstance(body, Subject):
        return None
    manifest = manifest_of(bundle, body.task)
    baseline = None if manifest is None else bundle.source(manifest.baseline_tree)
    return marks_beyond(source, baseline)


def manifest_of(bundle: Bundle, task: bytes) -> TaskManifest | None:
    """Return the manifest of a task that the bundle announces."""
    for record in bundle.records.values():
        if isinstance(record.body, TaskBody) and record.body.manifest.id == task:
            return record.body.manifest
    return None


def _sources(
    bundle: Bundle,
    body: Subject,
    manifest: TaskManifest,
    baseline: Source,
) -> Iterator[Finding]:
    for name, tree in zip(("base", "tree"), trees_of(body), strict=True):
        source = bundle.source(tree)
        if source is None:
            yield Finding(name=name, ok=False, detail=f"the source {tree.hex()[:12]} is missing")
            continue
        fault = check_for_task(source, manifest, baseline=baseline)
        detail = f"{tree.hex()[:12]}, {sum(len(data) for _, data in source.files)} bytes"
        yield Finding(name=name, ok=fault is None, detail=fault.reason if fault else detail)


def _patches(bundle: Bundle, body: Subject) -> Iterator[Finding]:
    patch = body if isinstance(body, PatchBody) else None
    if isinstance(body, ResultBody) and body.patch is not None:
        record = bundle.records.get(body.patch)
        if record is None or not isinstance(record.body, PatchBody):
            yield Finding(name="patch", ok=False, detail="the result's patch is missing")
            return
        patch = record.body
        if (patch.task, patch.base, patch.tree) != (body.task, body.base, body.tree):
            yield Finding(name="patch", ok=False, detail="it is not the step that the result names")
            return
    if patch is not None:
        fault = _diff_fault(bundle, patch)
        yield Finding(name="patch", ok=fault is None, detail=fault or "its diff makes the tree")


def _diff_fault(bundle: Bundle, patch: PatchBody) -> str | None:
    base = bundle.source(patch.base)
    packed = patch.diff.zlib if patch.diff.blob is None else bundle.blobs.get(patch.diff.blob)
    if base is None or packed is None:
        return "its base or its diff is missing"
    made = apply_packed(base, packed)
    if isinstance(made, Rejected):
        return made.reason
    return None if made.tree == patch.tree else "its diff makes another tree"
