"""Comparison of two sets of instructions, proposers or models, in alternating blocks on one device.

A pair of blocks is one block of each contender, in a random order. Every block starts from the same
head in a new home (`node.on_demand.block`), so that pairs are independent and a contender's early
luck does not help its later blocks. The gain of a block is measured afterwards: fresh runs of both
blocks' results and of the head use the same seeds, on a secret split that no block saw.

If both contenders are equally good, the differences of gains have either sign equally often.
`protocol.differences` tests this hypothesis after every pair, and a comparison may end with the
first pair that rejects it.
"""

import hashlib
import math
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Annotated, Final, Literal, TypeAlias

from node.home.faults import explaining_faults
from node.home.home import Home
from node.on_demand.block import BlockEnd, ComparisonBlock, Contender, left_of
from node.on_demand.kept_lines import KeptLines, hexadecimal, read_line
from node.on_demand.measuring import measure
from node.on_demand.session import CommandSession, calibrated_session
from node.proposing.budget import limits_of
from node.store.model_calls import ModelCostTotals
from protocol.differences import DifferenceEvidence, critical_ratio
from protocol.encoding import Value, encode
from protocol.errors import ArnodeError, UsageError
from protocol.fields import Mapped, Natural
from protocol.runs import MAX_SEED
from protocol.source import Source
from protocol.units import NANO
from trainer.measuring.outcome import RunOutcome
from trainer.task_folder.folder import OWN_TASKS, find_folder
from trainer.task_folder.task import Task
from trainer.task_kinds import load_task

Letter: TypeAlias = Literal["a", "b"]
Verdict: TypeAlias = Literal["a", "b", "open"]
LETTERS: Final[tuple[Letter, Letter]] = ("a", "b")
LEVEL: Final = 0.95
_ONE_END: Final = 1 - (1 - LEVEL) / 2  # confidence of one end of the interval
_MOST_COUNTED: Final = 100
_HOUR_S: Final = 3600.0
FEWEST_RUNS: Final = 8  # of a block: two of the head, two reference runs, and some experiments
_COPIED: Final = shutil.ignore_patterns("__pycache__")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockGain(Mapped):
    """A block's result, and its gain in 1e-9 of the metric's unit.

    `ran` is False if a fresh run of the block's result failed; the gain is then 0.
    """

    end: BlockEnd
    gain_nano: int
    ran: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPair(Mapped):
    """One block of each contender, with their gains, and the total time, including fresh runs."""

    setting: Annotated[bytes, hexadecimal(32)]
    a: BlockGain
    b: BlockGain
    a_first: bool
    ms: Natural

    def of(self, letter: Letter) -> BlockGain:
        """Return the block of one contender."""
        return self.a if letter == "a" else self.b


@dataclass(frozen=True)
class PairEvidence:
    """The evidence of pairs: the gain of `a` minus the gain of `b`, per hour of the device."""

    pairs: tuple[BlockPair, ...]
    hours: float
    """The length of one block."""

    @cached_property
    def differences(self) -> tuple[float, ...]:
        """The gain of `a` minus the gain of `b` in each pair, per hour."""
        gains = (pair.a.gain_nano - pair.b.gain_nano for pair in self.pairs)
        return tuple(gain / NANO / self.hours for gain in gains)

    @property
    def difference(self) -> float:
        """The mean difference."""
        return DifferenceEvidence(self.differences).gain

    @property
    def interval(self) -> tuple[float, float]:
        """The mean's confidence interval at `LEVEL`, valid at any time; infinite at first."""
        return _interval(self.differences)

    @property
    def verdict(self) -> Verdict:
        """The contender that gains more, or `open`."""
        return _verdict(self.differences)

    def gain_per_hour(self, letter: Letter) -> float:
        """Return the mean gain of one contender per hour, in the metric's unit."""
        gains = [pair.of(letter).gain_nano for pair in self.pairs]
        return fmean(gains) / NANO / self.hours if gains else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """The setting of a comparison: two contenders on a task whose baseline is the head.

    `block_s` is the length of a block in seconds. `runs` is the number of fresh runs of each
    block's result. `folder` names the task in commands.
    """

    sides: Mapping[Letter, Contender]
    task: Task
    folder: str
    block_s: float
    runs: int

    @property
    def setting(self) -> bytes:
        """The digest of the whole setting; pairs of another setting are not used."""
        sides: list[Value] = [
            [list(side.agents), [list(one) for one in side.texts]] for side in self.sides.values()
        ]
        values: list[Value] = [sides, self.task.id, round(1000 * self.block_s), self.runs]
        return hashlib.sha256(encode(values)).digest()


class ProgramComparison:
    """A comparison in progress: its stored pairs and its next step.

    `place` is the folder with the homes of its blocks.
    """

    def __init__(
        self, command: CommandSession, comparing: Comparing, kept: KeptLines, place: Path
    ) -> None:
        self._command = command
        self._comparing = comparing
        self._kept = kept
        self._place = place
        self._setting = comparing.setting
        found = [read_line(BlockPair, line) for line in kept.lines]
        self._pairs = [
            one for one in found if isinstance(one, BlockPair) and one.setting == self._setting
        ]

    @property
    def evidence(self) -> PairEvidence:
        """The evidence so far."""
        return PairEvidence(tuple(self._pairs), self._comparing.block_s / _HOUR_S)

    async def work(
        self,
        for_s: float,
        *,
        on_look: Callable[[str, float], None],
        on_pair: Callable[[PairEvidence], None],
    ) -> None:
        """Make pairs until there is a verdict or `for_s` seconds are used.

        The time of earlier calls is included. `on_look` is called with the current activity and its
        completed fraction, `on_pair` after each pair. Raises what `play` raises.
        """
        while self.evidence.verdict == "open" and self._fits(for_s):
            await self.play(on_look)
            on_pair(self.evidence)

    async def play(self, on_look: Callable[[str, float], None]) -> BlockPair:
        """Make another pair, store it, and return it.

        Raises ArnodeError if a contender cannot work, or its daily limit is reached.
        """
        began_s, number = time.monotonic(), len(self._pairs)
        a_first = bool(self._drawn(number, 0) & 1)
        blocks: dict[Letter, ComparisonBlock] = {}
        for letter in LETTERS if a_first else reversed(LETTERS):
            blocks[letter] = await self._played(number, letter, on_look)
        a, b = await self._gains(number, [blocks[letter] for letter in LETTERS], on_look)
        pair = BlockPair(
            setting=self._setting,
            a=a,
            b=b,
            a_first=a_first,
            ms=round(1000 * (time.monotonic() - began_s)),
        )
        self._kept.append(pair)
        self._pairs.append(pair)
        return pair

    def _fits(self, for_s: float) -> bool:
        """Return True if another pair of average length ends in time."""
        taken_s = [pair.ms / 1000 for pair in self._pairs]
        next_s = max(2 * self._comparing.block_s, fmean(taken_s) if taken_s else 0.0)
        return sum(taken_s) + next_s <= for_s

    def _drawn(self, *numbers: int) -> int:
        digest = hashlib.sha256(self._kept.salt + self._setting + encode(list(numbers))).digest()
        return int.from_bytes(digest[:4]) & MAX_SEED

    async def _played(
        self, number: int, letter: Letter, on_look: Callable[[str, float], None]
    ) -> ComparisonBlock:
        side, limits = self._comparing.sides[letter], limits_of(self._command.config)
        if side.spends:
            blocks = [
                path.parent
                for path in self._place.parent.glob(f"*/*/{self._command.home.store.name}")
            ]
            limits = left_of(limits, [self._command.home, *map(Home, blocks)])
        block = ComparisonBlock(
            home=Home(self._place / f"{number}{letter}"),
            side=side,
            task=self._comparing.task,
            folder=self._comparing.folder,
            seconds=self._comparing.block_s,
            limits=limits,
        )
        least = ModelCostTotals(calls=1, visits=int(side.visits), tokens=1)
        if side.spends and (limit := block.limits.passed_by(least)):
            raise _spent(limit)

        def look(seconds: float) -> None:
            label = f"pair {number + 1}: {side.name} works"
            on_look(label, min(1.0, seconds / self._comparing.block_s))

        await block.play(self._command.home, on_look=look)
        if side.spends and (limit := block.met_limit()):
            raise _spent(limit)
        return block

    async def _gains(
        self, number: int, blocks: Sequence[ComparisonBlock], on_look: Callable[[str, float], None]
    ) -> list[BlockGain]:
        """Measure the gains of blocks over the head by fresh runs with the same seeds."""
        task, ends = self._comparing.task, [block.end() for block in blocks]
        sources = {task.source.tree: task.source}
        for block, end in zip(blocks, ends, strict=True):
            sources.setdefault(end.tree, block.source(end.tree))
        if len(sources) == 1:
            return [BlockGain(end=end, gain_nano=0, ran=True) for end in ends]
        found = await self._measured(number, list(sources.values()), on_look)
        heads = found[task.source.tree]
        if None in heads:
            raise ArnodeError(
                "a run of the head failed, so nothing can be compared with the head",
                f"`arnode run --task {self._comparing.folder}` shows how it fails",
            )
        return [_gain(end, found[end.tree], heads, task.manifest.metric.sign) for end in ends]

    async def _measured(
        self, number: int, sources: Sequence[Source], on_look: Callable[[str, float], None]
    ) -> dict[bytes, list[int | None]]:
        """Return each source's metrics in the order of the seeds; None for a failed run."""
        seeds = [self._drawn(number, 1 + ordinal) for ordinal in range(self._comparing.runs)]
        planned: list[tuple[Source, int]] = []
        for seed in seeds:
            order = list(sources)
            random.Random(seed).shuffle(order)
            planned += [(source, seed) for source in order]
        metrics: dict[tuple[bytes, int], int | None] = {}

        def keep(source: Source, outcome: RunOutcome) -> None:
            metrics[source.tree, outcome.seed] = outcome.to_run("candidate").secret_nano
            on_look(f"pair {number + 1}: fresh runs", len(metrics) / len(planned))

        async with calibrated_session(replace(self._command, task=self._comparing.task)) as session:
            await measure(session, planned, on_run=keep)
        return {one.tree: [metrics[one.tree, seed] for seed in seeds] for one in sources}


def fewest_pairs() -> int:
    """Return the smallest number of pairs that can reach a verdict."""
    log_e = -math.log(1 - _ONE_END)
    counts = range(2, _MOST_COUNTED)
    return next(count for count in counts if math.isfinite(critical_ratio(count, log_e)))


def known_after(differences: Sequence[float]) -> tuple[int, Verdict]:
    """Return the number of pairs that the verdict needed, and the verdict.

    Without a verdict, return the number of all pairs, and `open`.
    """
    for count in range(fewest_pairs(), len(differences) + 1):
        if (verdict := _verdict(differences[:count])) != "open":
            return count, verdict
    return len(differences), "open"


def task_at(home: Home, task: Task, called: str, head: Source, place: Path) -> tuple[Task, str]:
    """Return a task whose baseline is the source `head`, and its name for commands.

    If the task has another baseline, its folder is copied, and `head` replaces the editable files.
    Raises UsageError for a task that has no folder here.
    """
    found = find_folder(called, home.data / OWN_TASKS)
    if head.tree == task.source.tree:
        return task, called
    folder = place / f"task-{head.tree.hex()[:8]}"
    with explaining_faults(folder):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(found, folder, ignore=_COPIED)
        for path, data in head.files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    return load_task(folder, data_dir=home.data), str(folder)


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    return DifferenceEvidence(tuple(differences)).interval(_ONE_END)


def _verdict(differences: Sequence[float]) -> Verdict:
    lower, upper = _interval(differences)
    return "a" if lower > 0 else "b" if upper < 0 else "open"


def _gain(
    end: BlockEnd, own: Sequence[int | None], heads: Sequence[int | None], sign: int
) -> BlockGain:
    gains = [
        sign * (head - one)
        for one, head in zip(own, heads, strict=True)
        if one is not None and head is not None
    ]
    ran = len(gains) == len(own)
    return BlockGain(end=end, gain_nano=round(fmean(gains)) if ran else 0, ran=ran)


def _spent(limit: str) -> ArnodeError:
    return UsageError(
        f"the daily limit `{limit}` is reached, so the compared model cannot be called any more",
        "repeat the same command tomorrow (UTC), or raise the limit",
    )
