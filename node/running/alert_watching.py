"""Periodic checks of the store and the disk for events that a user wants to know at once.

Alerts are computed from records and from free disk space, so the research loop has no code for
them. Events from before the start of a watch are never reported.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

from node.home.files import LITTLE_BYTES, TOO_LITTLE_BYTES, free_bytes
from node.line.head_by_hand import manifest_of
from node.line.job_kinds import HEAD_TRIALS
from node.line.proposals import open_proposals
from node.line.trial import Measured
from node.running.alert import Alert, cleaned, quoted
from node.running.alerts import Alerts
from node.store.boards import BoardKey
from node.store.experiments import Adoption
from node.store.jobs import Line
from node.store.store import Store
from node.terminal.vocabulary import head_words, interval_words
from protocol.board import Row
from protocol.board_facts import BoardClaim
from protocol.manifest import TaskManifest
from protocol.record_kinds import ResultBody
from protocol.units import NANO, from_nano

LOOK_S: Final = 20.0
_LEVELS: Final = (LITTLE_BYTES, TOO_LITTLE_BYTES)
_CLEAR: Final = 1.25  # a level is reported again once free space exceeded it by this factor
_log = logging.getLogger("node")


class AlertWatch:
    """A watch that turns events since its last check into alerts. `author` is this node's key."""

    def __init__(
        self,
        store: Store,
        *,
        author: bytes,
        net: str,
        place: Path,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._store = store
        self._author = author
        self._net = net
        self._place = place
        self._free = free
        self._number = store.records.last_number()
        self._refuted = {key: self._counts(key) for key in self._own_boards()}
        self._levels_reported = 0
        self._job = store.jobs.last_job()

    def news(self) -> Iterator[Alert]:
        """Yield new alerts, those about heads first."""
        after, self._number = self._number, self._store.records.last_number()
        if self._number != after:
            for line in self._store.jobs.lines():
                yield from self._moves(line, after)
            yield from self._refutations(after)
        yield from self._proposals()
        yield from self._disk()

    # Heads

    def _moves(self, line: Line, after: int) -> Iterator[Alert]:
        if not self._store.experiments.adoptions(line.key, after=after):
            return  # nearly always: skip reading anything else
        manifest = manifest_of(self._store, line)
        head, last_n = manifest.baseline_tree, 0
        for move in self._store.experiments.adoptions(line.key):
            evidence, tree = move.body.evidence, move.body.to_tree
            # The user knows of a change by hand. A head that passed another measurement is not
            # new.
            if move.n > after and evidence is not None and tree != head:
                if self._store.records.number_of(evidence) > last_n:
                    yield self._new_head(line, manifest, move, evidence)
                else:
                    yield _back(line, manifest)
            head, last_n = tree, move.n

    def _new_head(
        self, line: Line, manifest: TaskManifest, move: Adoption, evidence: bytes
    ) -> Alert:
        jobs = self._store.jobs.closed_jobs(line.key, *HEAD_TRIALS)
        measured = next(
            (
                job.step.measured
                for job in reversed(jobs)
                if job.step.measured and job.step.measured.record == evidence
            ),
            None,
        )
        body = self._store.records.get(evidence).body
        title = self._title(body.patch) if isinstance(body, ResultBody) else ""
        text = (
            f"new {head_words(manifest.scoring)} of {manifest.name} on {line.hardware_class},"
            f" measured here{_gain_words(measured, manifest)}: {quoted(title)}"
        )
        return Alert(
            kind="head",
            text=text,
            figures={
                **_place(manifest, line.hardware_class),
                "tree": move.body.to_tree.hex(),
                "result": evidence.hex(),
                "gain": from_nano(measured.gain_nano) if measured else None,
                "lower": from_nano(measured.lower_nano) if measured else None,
                "upper": from_nano(measured.upper_nano) if measured else None,
            },
        )

    def _title(self, patch: bytes | None) -> str:
        body = self._store.records.patch(patch) if patch else None
        return body.title if body else ""

    # Refutations

    def _own_boards(self) -> list[BoardKey]:
        return [
            BoardKey(self._net, line.task, line.hardware_class)
            for line in self._store.experiments.lines()
            if self._store.records.manifest(line.task)
        ]

    def _counts(self, key: BoardKey) -> dict[bytes, int]:
        """Return how many authors refute each tree that this node claims on a leaderboard."""
        return {row.tree: row.refuted for row in self._store.boards.rows_by(key, self._author)}

    def _refutations(self, after: int) -> Iterator[Alert]:
        trees_by_board: dict[BoardKey, set[bytes]] = {}
        for key, vote in self._store.boards.others_votes(after):
            if vote.verdict == "refuted" and key.net == self._net:
                trees_by_board.setdefault(key, set()).add(vote.tree)
        for key, trees in trees_by_board.items():
            own = self._store.boards.own_facts(key)
            if trees.isdisjoint(fact.tree for fact in own if isinstance(fact, BoardClaim)):
                continue
            before = self._refuted.get(key, {})
            rows = self._store.boards.rows_by(key, self._author)
            self._refuted[key] = {row.tree: row.refuted for row in rows}
            for row in rows:
                if row.refuted > before.get(row.tree, 0):
                    yield self._refutation(key, row)

    def _refutation(self, key: BoardKey, row: Row) -> Alert:
        manifest = self._store.records.manifest(key.task)
        assert manifest is not None  # noqa: S101 -- there is a row of its board
        body = self._store.records.get(row.result).body
        title = self._title(body.patch) if isinstance(body, ResultBody) else ""
        claimed = f"{row.gain_nano / NANO:+.4f} {cleaned(manifest.metric.unit)}"
        text = (
            f"a claim of this node on {manifest.name}, {key.hardware_class}, was refuted: claimed"
            f" {claimed}, re-runs {row.confirmed} confirmed, {row.smaller} smaller,"
            f" {row.refuted} refuted: {quoted(title)}"
        )
        return Alert(
            kind="refuted",
            text=text,
            figures={
                **_place(manifest, key.hardware_class),
                "tree": row.tree.hex(),
                "result": row.result.hex(),
                "claimed": row.gain_nano / NANO,
                "confirmed": row.confirmed,
                "smaller": row.smaller,
                "refuted": row.refuted,
            },
        )

    # Proposals

    def _proposals(self) -> Iterator[Alert]:
        """Yield an alert once for each proposal that waits for the owner."""
        after, self._job = self._job, self._store.jobs.last_job()
        if self._job == after:
            return
        waiting = [job for job in open_proposals(self._store) if job.step.state == "waiting"]
        for job in waiting:
            manifest = self._store.records.manifest(job.line.task)
            if job.id <= after or manifest is None:
                continue
            yield Alert(
                kind="proposal",
                text=f"a proposal for {manifest.name} waits for your decision, {len(waiting)} in"
                f" all: {quoted(job.step.idea.title)} (arnode approve {job.id})",
                figures={
                    **_place(manifest, job.line.hardware_class),
                    "id": job.id,
                    "waiting": len(waiting),
                },
            )

    # The disk

    def _disk(self) -> Iterator[Alert]:
        """Yield an alert once for each level that the free space falls below."""
        free = self._free(self._place)
        levels = sum(free < level for level in _LEVELS)
        if levels > self._levels_reported:
            text = f"the disk of its home is filling up: {free / 1e9:.1f} GB are free"
            if levels == len(_LEVELS):
                text += "; the node ends when it cannot write"
            yield Alert(kind="disk", text=text, figures={"free_bytes": free})
            self._levels_reported = levels
        else:
            not_cleared = sum(free < _CLEAR * level for level in _LEVELS)
            self._levels_reported = min(self._levels_reported, not_cleared)


@contextlib.asynccontextmanager
async def watching(
    alerts: Alerts | None,
    store: Store,
    author: bytes,
    *,
    net: str,
    place: Path,
    look_s: float = LOOK_S,
) -> AsyncIterator[None]:
    """Send alerts while the `async with` block runs, and once more when it ends."""
    if alerts is None:
        yield
        return
    watch = AlertWatch(store, author=author, net=net, place=place)
    looking = asyncio.create_task(_look_on(alerts, watch, look_s))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait({looking})
        await _look(alerts, watch)


async def _look_on(alerts: Alerts, watch: AlertWatch, look_s: float) -> None:
    while True:
        await asyncio.sleep(look_s)
        await _look(alerts, watch)


async def _look(alerts: Alerts, watch: AlertWatch) -> None:
    try:
        for alert in list(watch.news()):
            await alerts.send(alert)
    except Exception:  # noqa: BLE001 (a supervisor: what only tells of the node must not end it)
        _log.exception("looking for alerts to send failed")


def _place(manifest: TaskManifest, hardware_class: str) -> dict[str, str]:
    return {"task": manifest.name, "task_id": manifest.id.hex(), "class": hardware_class}


def _gain_words(measured: Measured | None, manifest: TaskManifest) -> str:
    if measured is None or measured.gain_nano is None:
        return ""
    ends = from_nano(measured.lower_nano), from_nano(measured.upper_nano)
    gain = f"{measured.gain_nano / NANO:+.4f} {cleaned(manifest.metric.unit)}"
    return f", gain {gain}, {interval_words(*ends, spec='+.4f')}"


def _back(line: Line, manifest: TaskManifest) -> Alert:
    head = head_words(manifest.scoring)
    return Alert(
        kind="head",
        text=f"the {head} of {manifest.name} on {line.hardware_class} was not confirmed when"
        " measured again: the previous head is restored",
        figures={**_place(manifest, line.hardware_class), "tree": line.verified.hex()},
    )
