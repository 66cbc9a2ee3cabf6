"""Finds what is to be run again: a claim, whole and checked, from a bundle or the store."""

from dataclasses import dataclass
from pathlib import Path

from node.exchange.bundle import Bundle, Subject, read_bundle, trees_of
from node.exchange.bundle_check import Claimed, check_bundle, claimed_by, manifest_of
from node.exchange.bundling import gather
from node.store.blobs import Blobs
from node.store.store import Store
from protocol.errors import SafetyError, UsageError
from protocol.kinds import AdoptBody, AttestBody, ResultBody
from protocol.manifest import TaskManifest
from protocol.records import Record
from protocol.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundClaim:
    """A claim that holds together. `target` is the result that makes it, if one does."""

    manifest: TaskManifest
    base: Source
    candidate: Source
    target: bytes | None
    author: bytes
    claimed: Claimed | None


def bundle_of(store: Store, blobs: Blobs, wanted: str) -> Bundle:
    """Return the bundle in a file, or about the record with this id; nothing in it is checked."""
    path = Path(wanted)
    if path.is_file():
        return read_bundle(path)
    if "/" in wanted or wanted.endswith(".bundle"):
        raise UsageError(f"there is no file {wanted}", "name a bundle's file or a record's id")
    return gather(store, blobs, store.records.find(wanted))


def claim_in(bundle: Bundle, name: str) -> FoundClaim:
    """Return what a bundle claims. Raises SafetyError if it does not hold together."""
    for finding in check_bundle(bundle):
        if not finding.ok:
            raise _torn(name, f"{finding.name}: {finding.detail}")
    maker = _maker(bundle)
    body = maker.body
    assert isinstance(body, Subject)  # noqa: S101 -- it was checked
    manifest = manifest_of(bundle, body.task)
    base, candidate = (bundle.source(tree) for tree in trees_of(body))
    if manifest is None or base is None or candidate is None:
        raise _torn(name, "what it rests on is of other sources")
    if base.tree == candidate.tree:
        raise UsageError(f"{name} is a baseline: there is nothing to compare", "give a claim's id")
    return FoundClaim(
        manifest=manifest,
        base=base,
        candidate=candidate,
        target=maker.id if isinstance(body, ResultBody) else None,
        author=maker.author,
        claimed=claimed_by(maker, manifest),
    )


def _maker(bundle: Bundle) -> Record:
    """Return the record that makes the claim: what an attestation or an adoption rests on."""
    match bundle.subject.body:
        case AttestBody(target=named) | AdoptBody(evidence=named) if named is not None:
            made = bundle.records.get(named)
            if made is not None and isinstance(made.body, ResultBody):
                return made
    return bundle.subject


def _torn(name: str, fault: str) -> SafetyError:
    return SafetyError(
        f"{name} does not hold together: {fault}",
        f"do not run or adopt it; `arnode verify {name} --check-only` shows all that was checked",
    )
