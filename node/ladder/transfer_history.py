"""The outcomes of transferred changes, from this node's records and peers' records.

A `Place` holds one author's results for a change on one task and hardware class. A change has one
place where it was found and other places where it was tried later. This node's measurements and
peers' claims stay apart. A change that was kept after few runs does not count as verified. Changes
that were transferred together count as one change.

Proposers see only changes that this node found, with the figures and titles in its own records.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from node.store.jobs import LineKey
from node.store.named_tasks import labels
from node.store.store import Store
from protocol.board_facts import BoardClaim, read_fact
from protocol.record_kinds import FoundOn, PatchBody, ResultBody
from protocol.records import Record
from protocol.runs import Run
from protocol.transfer import Z95, ObservedTransfer, Slope, measured, slopes
from protocol.units import NANO, from_nano

_OF_CHANGES: Final = ("screen", "keep", "confirm")  # stages

TransferOutcome = Literal["discarded", "kept", "confirmed", "unconfirmed", "failed"]
HOLDS: Final[frozenset[TransferOutcome]] = frozenset({"kept", "confirmed"})
MOST: Final = 12


class Where(NamedTuple):
    """A task and a hardware class."""

    task: bytes
    hardware_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One author's results for a change on one task and hardware class.

    `gain` is in the metric's unit, positive if better, and `error` is its standard error. Both are
    None if the records do not state them. `result` is the id of the record with the strongest
    evidence. It is None if the gain is the sum of changes that were measured one by one. `is_own`
    is True if the author is this node.
    """

    where: Where
    author: bytes
    is_own: bool
    result: bytes | None
    outcome: TransferOutcome
    gain: float | None
    error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the gain; None if the records do not state it."""
        if self.gain is None or self.error is None:
            return None
        return self.gain - Z95 * self.error, self.gain + Z95 * self.error

    @property
    def holds(self) -> bool:
        """True if the change was kept or confirmed there."""
        return self.outcome in HOLDS


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferHistory:
    """A change, the place where it was found, and the places where it was tried later.

    `patches` are its patches on the task where it was found: several if they were transferred
    together. `there` is the place where the change was found; None if its results there are not
    stored.
    """

    found_on: FoundOn
    patches: tuple[bytes, ...]
    title: str
    there: Place | None
    places: tuple[Place, ...]

    @property
    def holds_on(self) -> int:
        """On how many further tasks or hardware classes the change was kept or confirmed."""
        return sum(place.holds for place in self.places)


def transfer_histories(store: Store) -> list[TransferHistory]:
    """Return the history of every transferred change, in the order of the first transfers."""
    families: dict[tuple[FoundOn, tuple[bytes, ...]], list[Record]] = {}
    for record in store.records.transfers():
        body = record.body
        if isinstance(body, PatchBody) and (found_on := body.found_on) is not None:
            # If several were transferred as one, the parents name them.
            patches = body.parents if found_on.patch is None else (found_on.patch,)
            families.setdefault((found_on, patches), []).append(record)
    return [_history_of(store, *family, records) for family, records in families.items()]


def tasks_of(changes: Iterable[TransferHistory]) -> set[bytes]:
    """Return the tasks that changes were found on or transferred to."""
    return {
        task
        for change in changes
        for task in (change.found_on.task, *(place.where.task for place in change.places))
    }


def slopes_known(
    changes: Iterable[TransferHistory], also: Iterable[tuple[Where, Where]] = ()
) -> dict[tuple[Where, Where], Slope]:
    """Return the fraction of a gain that transfers, for each pair of places (from, to) with data.

    The pairs in `also` are returned too. If there are no data for one, it gets the usual fraction.
    """
    pairs: dict[tuple[Where, Where], list[ObservedTransfer]] = {pair: [] for pair in also}
    for change in changes:
        there = change.there
        if there is None or there.gain is None:
            continue
        for here in change.places:
            if here.gain is not None:
                one = ObservedTransfer(
                    below=there.gain,
                    below_error=there.error or 0.0,
                    above=here.gain,
                    above_error=here.error or 0.0,
                )
                pairs.setdefault((there.where, here.where), []).append(one)
    return slopes(pairs)


def _history_of(
    store: Store, found_on: FoundOn, patches: tuple[bytes, ...], records: Sequence[Record]
) -> TransferHistory:
    places = _best(place for record in records for place in _places(store, record.id))
    titles = [record.body.title for record in records if isinstance(record.body, PatchBody)]
    return TransferHistory(
        found_on=found_on,
        patches=patches,
        title=titles[0],
        there=_together([_found(store, found_on.task, patch) for patch in patches]),
        places=tuple(sorted(places, key=lambda one: (not one.is_own, one.where))),
    )


def _found(store: Store, task: bytes, patch: bytes) -> Place | None:
    """Return the results of a patch on the task where it was found, preferring this node's."""
    found = [one for one in _best(_places(store, patch)) if one.where.task == task]
    return max(found, key=lambda one: (one.is_own, one.gain is not None), default=None)


def _together(parts: Sequence[Place | None]) -> Place | None:
    """Merge the results of changes that were measured one by one; their gains are added.

    Return None if the result of a change is missing.
    """
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    if len(known) == 1:
        return known[0]
    gains = [part.gain for part in known if part.gain is not None]
    is_measured = len(gains) == len(known)
    return Place(
        where=known[0].where,
        author=known[0].author,
        is_own=all(part.is_own for part in known),
        result=None,
        outcome="kept" if all(part.holds for part in known) else "discarded",
        gain=sum(gains) if is_measured else None,
        error=math.hypot(*(part.error or 0.0 for part in known)) if is_measured else None,
    )


def _best(places: Iterable[Place]) -> list[Place]:
    """Return only the strongest result of each author on each task and hardware class.

    A trial in pairs is stronger than single runs. Among equally strong results, the latest wins.
    """
    trials = ("confirmed", "unconfirmed")
    ranked = sorted(places, key=lambda one: one.outcome in trials)  # the sort is stable
    return [*{(place.where, place.author): place for place in ranked}.values()]


def _places(store: Store, patch: bytes) -> Iterator[Place]:
    for record in store.records.results_of(patch):
        body = record.body
        if not isinstance(body, ResultBody) or body.stage not in _OF_CHANGES:
            continue
        gain, error = _gain(store, record, body)
        yield Place(
            where=Where(body.task, body.hardware_class),
            author=record.author,
            is_own=store.records.is_own(record.id),
            result=record.id,
            outcome=_outcome(body, gain, error),
            gain=gain,
            error=error,
        )


def _outcome(body: ResultBody, gain: float | None, error: float | None) -> TransferOutcome:
    if body.status != "ok":
        return "failed"
    if body.stage == "confirm":
        is_sure = gain is not None and error is not None and gain > Z95 * error
        return "confirmed" if is_sure else "unconfirmed"
    return "kept" if body.stage == "keep" else "discarded"


def _gain(store: Store, record: Record, body: ResultBody) -> tuple[float | None, float | None]:
    """Return a result's gain and its standard error."""
    manifest = store.records.manifest(body.task)
    if manifest is None:
        return None, None
    fact = read_fact(record, manifest, body.hardware_class)
    if isinstance(fact, BoardClaim) and fact.gain is not None:
        return measured(fact.gain)
    entry = store.experiments.find(record.id)  # has the base's metric; only for own results
    sd = manifest.noise_floor_nano / NANO
    if entry is None or entry.gain_nano is None or not sd:
        return None, None
    return from_nano(entry.gain_nano), sd * math.sqrt(1 / _spoken(body.runs) + 1 / 2)


def _spoken(runs: Sequence[Run]) -> int:
    """Return the number of runs in a change's mean score: all except its screen, at least 1."""
    own = sum(run.role == "candidate" and run.metric_nano is not None for run in runs)
    return max(1, own - 1)


def transfer_lines(store: Store, line: LineKey) -> tuple[str, ...]:
    """Return text for proposers: one line per transferred change of this node, the latest last.

    The lines after them state which share of a gain transfers between two tasks.
    """
    changes = [change for change in transfer_histories(store) if _is_own(store, change)]
    if not changes:
        return ()
    names = labels(store, {line.task, *tasks_of(changes)})
    here = Where(line.task, line.hardware_class)
    rows = [_row(change, names) for change in changes[-MOST:]]
    for (below, above), slope in slopes_known(changes).items():
        if here in (below, above):
            low, high = slope.interval
            rows.append(
                f"about {slope.mean:.2f} ({low:.2f} to {high:.2f}) of a gain on {names[below.task]}"
                f" transfers to {names[above.task]}"
            )
    return tuple(rows)


def _is_own(store: Store, change: TransferHistory) -> bool:
    return bool(change.patches) and all(
        store.records.has(patch) and store.records.is_own(patch) for patch in change.patches
    )


def _row(change: TransferHistory, names: dict[bytes, str]) -> str:
    there = f" {_gain_words(change.there)}" if change.there else ""
    places = ", ".join(
        f"{names[place.where.task]} {_gain_words(place)} {place.outcome}"
        for place in change.places
        if place.is_own
    )
    return f"{change.title}: found on {names[change.found_on.task]}{there}; {places}"


def _gain_words(place: Place) -> str:
    return "(no figure)" if place.gain is None else f"{place.gain:+.4f}"
