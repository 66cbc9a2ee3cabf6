"""What became of this node's own finds on other rungs, in lines for whoever proposes.

Figures and titles of own records alone: what others say of theirs is told elsewhere, if at all.
"""

from typing import Final

from node.ladder.climbed import Climbed, Place, Where, climbed, slopes_known, tasks_of
from node.store.jobs import LineKey
from node.store.named_tasks import labels
from node.store.store import Store

MOST: Final = 12


def told_of_scales(store: Store, line: LineKey) -> tuple[str, ...]:
    """Return a line for each own find that was carried, the latest last, then what carries over."""
    changes = [change for change in climbed(store) if _is_own(store, change)]
    if not changes:
        return ()
    names = labels(store, {line.task, *tasks_of(changes)})
    here = Where(line.task, line.hardware_class)
    rows = [_row(change, names) for change in changes[-MOST:]]
    for (below, above), slope in slopes_known(changes).items():
        if here in (below, above):
            low, high = slope.interval
            rows.append(
                f"of a gain on {names[below.task]} about {slope.mean:.2f} ({low:.2f} to {high:.2f})"
                f" is found on {names[above.task]}"
            )
    return tuple(rows)


def _is_own(store: Store, change: Climbed) -> bool:
    return bool(change.patches) and all(
        store.records.has(patch) and store.records.is_own(patch) for patch in change.patches
    )


def _row(change: Climbed, names: dict[bytes, str]) -> str:
    there = f" {_gain(change.there)}" if change.there else ""
    places = ", ".join(
        f"{names[place.where.task]} {_gain(place)} {place.came}"
        for place in change.places
        if place.is_own
    )
    return f"{change.title}: found on {names[change.found_on.task]}{there}; {places}"


def _gain(place: Place) -> str:
    return "(no figure)" if place.gain is None else f"{place.gain:+.4f}"
