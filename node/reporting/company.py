"""Counts, from signed records, of what a line got from other nodes and gave to them.

The counts say what happened, not what would have happened without the others: that would need a
second node without a network.
"""

import threading
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


class CompanyCounter:
    """A counter of a line's company in a span, or at any time. Each call reads only what is new."""

    def __init__(self, store: Store, line: LineKey, span: TimeSpan | None = None) -> None:
        self._store = store
        self._line = line
        self._span = span
        self._results = OthersResults(store, line)
        self._authors: set[bytes] = set()
        self._in_vain = Counter[str]()
        self._kept: set[str] = set()
        self._given: set[bytes] = set()
        self._here: set[str] = set()  # titles of this node's experiments
        self._read = self._tried = self._taken = 0

    def company(self) -> Company:
        """Count, in the latest records, what others brought to the line and took from it."""
        self._read_others()
        self._read_own()
        left_out = self._in_vain.keys() - self._kept - self._here
        return Company(
            authors=len(self._authors),
            left_out=len(left_out),
            left_out_runs=sum(self._in_vain[title] for title in left_out),
            tried=self._tried,
            taken=self._taken,
            given=len(self._given),
        )

    def _read_others(self) -> None:
        records = self._store.records
        for envelope, body, patch in self._results.new():
            if not self._counts(envelope.ts_ms):
                continue
            self._authors.add(envelope.author)
            if patch is None:
                continue
            if body.stage in ("keep", "confirm"):
                self._kept.add(patch.title)
                self._given.update(filter(records.is_own, patch.parents))
            elif body.status == "ok":
                self._in_vain[patch.title] += len(body.runs)

    def _read_own(self) -> None:
        for entry in self._store.experiments.listed(self._line, after=self._read):
            self._read = entry.n
            self._here.add(entry.title)
            if entry.origin in (PEER, CATCHING_UP) and self._counts(entry.ts_ms):
                self._tried += 1
                self._taken += entry.decision in _TAKEN

    def _counts(self, ts_ms: int) -> bool:
        return self._span is None or ts_ms in self._span


class Companies:
    """The counters of a store's lines, kept while the status is asked for again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[LineKey, CompanyCounter] = {}

    def of(self, store: Store, line: LineKey) -> Company:
        """Return the company of a line of `store`, which must be the same at each call."""
        with self._lock:
            if line not in self._counters:
                self._counters[line] = CompanyCounter(store, line)
            return self._counters[line].company()


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
