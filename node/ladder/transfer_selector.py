"""The choice of patches from the rungs below for the next transfer to a line.

The expected gain decides the order: the gain on the rung below, times the share of gains that
transferred so far (`protocol.transfer`, from all authors' records). The experiment on this line
decides if a transfer is kept.

Candidates are all patches that this node kept on a rung below, verified or not: an experiment here
needs less time than pairs there. Peers' patches are candidates if their claims were confirmed.
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
    """Candidates to try together, their expected gain here, and its standard deviation.

    Both figures are in the metric's unit.
    """

    finds: tuple[TransferCandidate, ...]
    expected: float
    spread: float


def rungs_below(store: Store, manifest: TaskManifest) -> Iterator[TaskManifest]:
    """Yield the stored rungs below a task, the nearest first."""
    for _ in range(_MOST_RUNGS):
        found = None if manifest.below is None else store.records.manifest(manifest.below)
        if found is None:
            return
        yield found
        manifest = found


class TransferSelector:
    """A selector of the next transfer to one line.

    `noise_sd` returns the noise of one run here. `includes_peers` allows peers' patches.
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
        """Return the most promising transfer that was not tried here yet, or None.

        All new patches from one rung and hardware class are tried together first, in a single
        experiment. If that experiment is not kept, each patch is tried alone.
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
        """Return the groups of candidates in `loads` with their expected gains, largest first.

        All candidates of a group are from one rung and hardware class. Their gains are assumed to
        add up.
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
        """Return the candidates with a gain that were not tried here yet, nearest rungs first.

        Also return the changes that were tried together with others and not kept.
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
        """Return the changes tried here, and those tried together with others and not kept.

        A change that did not fit the working line is not returned once a later transfer was kept:
        it may fit now.
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
        """Return the changes in this node's working lines on a rung."""
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
            except ArnodeError:  # not only own patches, or a task of another ladder
                self._steps[key] = ()
        return self._steps[key]

    def _others(self, rung: TaskManifest) -> Iterator[TransferCandidate]:
        """Yield peers' patches on a rung whose claims more authors confirm than refute."""
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
        except ArnodeError:  # it must not run unasked, or its base is missing
            return None


def _where(found_on: FoundOn) -> Where:
    return Where(found_on.task, found_on.hardware_class)


def _once(finds: Sequence[TransferCandidate]) -> list[TransferCandidate]:
    """Return the candidates without repetitions, in the same order."""
    first: dict[FoundOn, TransferCandidate] = {}
    for candidate in finds:
        first.setdefault(candidate.found_on, candidate)
    return [*first.values()]
