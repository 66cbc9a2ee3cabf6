"""Counts, from signed records, of what a line got from other nodes and gave to them.

The counts say what happened, not what would have happened without the others: that would need a
second node without a network.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from node.line.experiment import PEER
from node.reporting.concluded import TimeSpan
from node.store.experiments import CATCHING_UP
from node.store.jobs import LineKey
from node.store.others_results import OthersResults
from node.store.store import Store
from node.terminal.vocabulary import many

_TAKEN = ("kept", "adopted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """The counts of a line.

    - `authors`: other authors of results.
    - `left_out`: changes that others screened out, that nobody kept, and that were not tried here.
      `left_out_runs` are the others' runs for them.
    - `tried`: peers' claims and best trees that were tried here; `taken`: those that were kept or
      adopted.
    - `given`: patches of this node that others built kept or confirmed patches on.
    """

    authors: int = 0
    left_out: int = 0
    left_out_runs: int = 0
    tried: int = 0
    taken: int = 0
    given: int = 0


def company_of(store: Store, line: LineKey, span: TimeSpan | None = None) -> Company:
    """Count, in the latest records, what others brought to a line and took from it in a span."""
    authors: set[bytes] = set()
    in_vain = Counter[str]()
    kept: set[str] = set()
    given: set[bytes] = set()
    for envelope, body in OthersResults(store, line).new():
        if span is not None and envelope.ts_ms not in span:
            continue
        authors.add(envelope.author)
        patch = store.records.patch(body.patch) if body.patch else None
        if patch is None:
            continue
        if body.stage in ("keep", "confirm"):
            kept.add(patch.title)
            given.update(filter(store.records.is_own, patch.parents))
        elif body.status == "ok":
            in_vain[patch.title] += len(body.runs)
    own = store.experiments.listed(line)
    left_out = in_vain.keys() - kept - {entry.title for entry in own}
    theirs = [
        entry
        for entry in own
        if entry.origin in (PEER, CATCHING_UP) and (span is None or entry.ts_ms in span)
    ]
    return Company(
        authors=len(authors),
        left_out=len(left_out),
        left_out_runs=sum(in_vain[title] for title in left_out),
        tried=len(theirs),
        taken=sum(entry.decision in _TAKEN for entry in theirs),
        given=len(given),
    )


def company_words(company: Mapping[str, int]) -> list[str]:
    """Return the counts (`Company` as a dict) as phrases; empty without other authors."""
    authors, left_out, tried = company["authors"], company["left_out"], company["tried"]
    if not authors:
        return []
    words = [f"{authors} on this line"]
    if left_out:
        runs = many(company["left_out_runs"], "run")
        words.append(f"{many(left_out, 'change')} screened out by others only ({runs})")
    if tried:
        words.append(f"{company['taken']} of {many(tried, 'claim')} of others kept here")
    if given := company["given"]:
        words.append(f"{many(given, 'patch', 'patches')} of this node used by others")
    return words
