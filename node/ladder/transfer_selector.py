"""The choice of finds from the rungs below that are worth a try on a line, in order.

The order follows from their gains there and from the share of gains that transferred so far
(`protocol.transfer`, from everybody's records). The rule on this line decides if anything is kept.

There are two kinds of find. One is what this node kept on a rung, verified there or not: a trial
here costs less than pairs there. The other is what peers found, if their claims were confirmed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.ladder.transfer_candidates import check_rungs, step_of_record, steps_to
from node.ladder.transfer_history import Where, slopes_known, transfer_histories
from node.line.line_writer import LineWriter
from node.line.record_writer import MAX_PARENTS
from node.line.rung_transfer import RungTransferStep, TransferCandidate
from node.store.boards import BoardKey
from node.store.jobs import Line
from node.store.store import Store
from protocol.errors import ArnodeError
from protocol.manifest import TaskManifest
from protocol.record_kinds import FoundOn
from protocol.units import NANO

LEAST_SD: Final = 0.5  # the least gain worth a try, in standard deviations of one run
_MOST_RUNGS: Final = 8
_MOST_ROWS: Final = 20  # of each leaderboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Promising:
    """Finds that may be tried as one, their expected gain here, and its standard deviation.

    Gains are in units of the metric.
    """

    finds: tuple[TransferCandidate, ...]
    expected: float
    spread: float


def rungs_below(store: Store, manifest: TaskManifest) -> Iterator[TaskManifest]:
    """Yield the recorded rungs below a task, the nearest first."""
    for _ in range(_MOST_RUNGS):
        found = None if manifest.below is None else store.records.manifest(manifest.below)
        if found is None:
            return
        yield found
        manifest = found


class TransferSelector:
    """A chooser of finds for one line.

    `noise_sd` returns the noise of one run here. Peers' finds are used only with `includes_peers`.
    """

    def __init__(
        self,
        line_writer: LineWriter,
        *,
        net: str,
        noise_sd: Callable[[], float],
        includes_peers: bool,
    ) -> None:
        self._line_writer = line_writer
        self._store = line_writer.store
        self._manifest = line_writer.record_writer.manifest
        self._net = net
        self._noise_sd = noise_sd
        self._includes_peers = includes_peers
        self._steps: dict[
            tuple[bytes, bytes], tuple[TransferCandidate, ...]
        ] = {}  # by task and tree
        self._theirs: dict[bytes, TransferCandidate | None] = {}  # by result

    def best(self) -> RungTransferStep | None:
        """Return the most promising transfer that was not tried here yet; None if there is none.

        All new finds of one place are tried together first, which costs a single trial. If the
        stack is not kept, they are tried alone afterwards.
        """
        least = LEAST_SD * self._noise_sd()
        waiting, was_together = self._waiting()
        places: dict[Where, list[TransferCandidate]] = {}
        for candidate in waiting:
            if candidate.found_on not in was_together:
                places.setdefault(_where(candidate.found_on), []).append(candidate)
        stacks = [tuple(finds[:MAX_PARENTS]) for finds in places.values() if len(finds) > 1]
        ranked = self._ranked([*stacks, *((candidate,) for candidate in waiting)])
        promising = [one for one in ranked if one.expected + one.spread >= least]
        first = min(promising, key=lambda one: len(one.finds) == 1, default=None)
        return None if first is None else RungTransferStep(finds=first.finds)

    def _ranked(self, loads: Sequence[tuple[TransferCandidate, ...]]) -> list[Promising]:
        """Return the loads with their expected gains, the largest first; each load is of one place.

        The gains of several finds together are taken to add up.
        """
        if not loads:
            return []
        here = Where(self._line_writer.key.task, self._line_writer.key.hardware_class)
        there = {finds: _where(finds[0].found_on) for finds in loads}
        known_slopes = slopes_known(
            transfer_histories(self._store), {(one, here) for one in there.values()}
        )
        found = []
        for finds, place in there.items():
            gain_nano = sum(candidate.gain_nano or 0 for candidate in finds)
            gain, spread = known_slopes[place, here].expected(gain_nano / NANO)
            found.append(Promising(finds=finds, expected=gain, spread=spread))
        return sorted(found, key=lambda one: (-one.expected, one.finds[0].tree))

    def _waiting(self) -> tuple[list[TransferCandidate], set[FoundOn]]:
        """Return the finds with a gain that were not tried here yet, in order.

        Also return the changes that were tried in a stack that was not kept.
        """
        known, was_together = self._known()
        rungs = list(rungs_below(self._store, self._manifest))
        finds = [
            candidate
            for rung in rungs
            for candidate in (*self._own(rung), *self._others(rung))
            if candidate.found_on not in known and (candidate.gain_nano or 0) > 0
        ]
        return _once(finds), was_together

    def _known(self) -> tuple[set[FoundOn], set[FoundOn]]:
        """Return the changes that were tried here, and those in a stack that was not kept.

        A change that did not fit may be tried again after a later transfer was kept.
        """
        jobs, key = self._store.jobs, self._line_writer.key
        closed = jobs.closed_jobs(key, RungTransferStep)
        last_kept = max((job.id for job in closed if job.step.decision == "kept"), default=0)
        known = {
            candidate.found_on
            for job in jobs.open_jobs(key, RungTransferStep)
            for candidate in job.step.finds
        }
        was_together: set[FoundOn] = set()
        for job in closed:
            finds = {candidate.found_on for candidate in job.step.finds}
            if len(finds) > 1 and job.step.decision != "kept":
                was_together |= finds
            elif job.step.decision != "misfit" or job.id > last_kept:
                known |= finds
        return known, was_together

    def _own(self, rung: TaskManifest) -> tuple[TransferCandidate, ...]:
        """Return the steps that led to this node's working lines on a rung."""
        found: list[TransferCandidate] = []
        for line in self._store.jobs.lines():
            if line.task == rung.id and line.working != rung.baseline_tree:
                found += self._of_line(line, rung)
        return tuple(found)

    def _of_line(self, line: Line, rung: TaskManifest) -> tuple[TransferCandidate, ...]:
        key = (line.task, line.working)
        if key not in self._steps:  # slow: it reads every patch of the task
            self._steps = {one: steps for one, steps in self._steps.items() if one[0] != line.task}
            try:
                check_rungs(rung, self._manifest)
                self._steps[key] = steps_to(self._store, line, line.working, rung)
            except ArnodeError:  # own patches do not lead there, or another ladder's task
                self._steps[key] = ()
        return self._steps[key]

    def _others(self, rung: TaskManifest) -> Iterator[TransferCandidate]:
        """Yield peers' finds on a rung whose claims more keys confirm than refute."""
        if not self._includes_peers:
            return
        for key in self._store.boards.listed(self._net):
            if key.task == rung.id:
                yield from self._of_board(key, rung)

    def _of_board(self, key: BoardKey, rung: TaskManifest) -> Iterator[TransferCandidate]:
        for row in self._store.boards.get(key, _MOST_ROWS).rows:
            if self._store.records.is_own(row.result) or row.found_gain <= row.refuted:
                continue
            if row.result not in self._theirs:  # an examination starts a child process
                if self._line_writer.blobs.lacking(row.tree) != []:
                    continue
                self._theirs[row.result] = self._looked_at(row.result, rung)
            if (step := self._theirs[row.result]) is not None:
                yield replace(step, gain_nano=row.gain_nano)

    def _looked_at(self, result: bytes, rung: TaskManifest) -> TransferCandidate | None:
        record = self._store.records.get(result)
        try:
            return step_of_record(self._store, self._line_writer.blobs, record, rung)
        except ArnodeError:  # it may not run unasked, or its base is not here
            return None


def _where(found_on: FoundOn) -> Where:
    return Where(found_on.task, found_on.hardware_class)


def _once(finds: Sequence[TransferCandidate]) -> list[TransferCandidate]:
    """Return the first occurrence of each find, in order."""
    first: dict[FoundOn, TransferCandidate] = {}
    for candidate in finds:
        first.setdefault(candidate.found_on, candidate)
    return [*first.values()]
