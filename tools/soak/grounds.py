"""What planted patches are worth on a tree that a node has come to: the ground a crowd works on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ArnodeError
from protocol.source import Source
from tools.soak.cached import SEED_POOL, KeptRuns
from tools.soak.measuring import measure, noise_of, open_runner, worth_of
from tools.soak.planted_patches import PLANTED, UNREAD, Planted
from trainer.task_folder.task import Task

_SEEDS = SEED_POOL[:4]  # on each tree, as many as a claim has pairs
_GAIN_SD = 2.0  # nearly three standard errors
# Gains enough for a few heads, at a cost that lets every run come through.
_OFFERED = ("short-rows", "shorter-rows", "rope", "smear")
_IDLE = re.compile(rb"^IDLE_\d+ = \d+\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A planted patch made on a tree, and what it gains there; nothing is known of ones not good.

    Gains are in standard deviations of the baseline's runs.
    """

    name: str
    source: Source
    gain_sd: float

    @property
    def is_gain(self) -> bool:
        """Whether there is something."""
        return self.gain_sd >= _GAIN_SD


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A tree that gains `gain_sd` over the baseline, and the patches that fit on it.

    `gains` were measured to be some; `bad` ones lose on the baseline.
    """

    head: Source
    gain_sd: float
    noise_sd: float
    gains: Sequence[Found]
    bad: Sequence[Found]

    @property
    def null(self) -> Found:
        """The tree itself: with an unread constant more, a patch that does nothing."""
        return Found(name="nothing", source=self.head, gain_sd=0.0)


async def noise_of_baseline(task: Task, kept: Path) -> tuple[float, bool]:
    """Return the deviation of one run of the baseline, and whether unread constants change no bit.

    Runs of sources with such constants are those without.
    """
    with_one = next(patch for patch in PLANTED if patch.name == UNREAD).source(task)
    async with open_runner(task, kept) as runner:
        await measure(runner, {"baseline": task.source, UNREAD: with_one})
        worth = worth_of(runner.kept, task.source, with_one)
        return noise_of(runner.kept, task.source), (worth.gain, worth.error) == (0.0, 0.0)


async def survey(task: Task, kept: Path, head: Source, noise_sd: float) -> Ground:
    """Measure what the planted patches gain on a tree, as far as that was not measured before."""
    offered = [patch for patch in PLANTED if patch.name in _OFFERED or patch.kind == "bad"]
    fitting = {patch: made for patch in offered if (made := _made(patch, task, head))}
    async with open_runner(task, kept) as runner:
        program = without_idle(head)
        tried = {
            patch.name: without_idle(made)
            for patch, made in fitting.items()
            if patch.kind == "good"
        }
        # What does not come through once (too slow on this tree, say) is not asked again.
        await measure(runner, tried, seeds=_SEEDS[:1])
        runnable = {
            name: source
            for name, source in tried.items()
            if _came_through(runner.kept, source, _SEEDS[:1])
        }
        await measure(runner, {"a head": program, **runnable}, seeds=_SEEDS)
        gains_sd = {
            name: worth_of(runner.kept, program, source, seeds=_SEEDS).gain / noise_sd
            for name, source in runnable.items()
            if _came_through(runner.kept, source, _SEEDS)
        }
        over_baseline = worth_of(runner.kept, task.source, program, seeds=_SEEDS)
    found = {
        patch: Found(name=patch.name, source=made, gain_sd=gains_sd.get(patch.name, 0.0))
        for patch, made in fitting.items()
    }
    return Ground(
        head=head,
        gain_sd=over_baseline.gain / noise_sd,
        noise_sd=noise_sd,
        gains=[one for one in found.values() if one.is_gain],
        bad=[one for patch, one in found.items() if patch.kind == "bad"],
    )


def without_idle(source: Source) -> Source:
    """Return the source without constants that nobody reads."""
    path, data = source.files[0]
    return source.replacing(path, _IDLE.sub(b"", data))


def _made(patch: Planted, task: Task, head: Source) -> Source | None:
    try:
        return patch.source(task, head)
    except ArnodeError:  # the head holds it already, or changed the same lines
        return None


def _came_through(kept: KeptRuns, source: Source, seeds: Sequence[int]) -> bool:
    outcomes = [kept.get(source.tree, seed) for seed in seeds]
    return all(outcome and outcome.secret_nano is not None for outcome in outcomes)
